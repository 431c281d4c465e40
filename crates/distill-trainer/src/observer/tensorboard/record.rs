//! Framing of an event file: each event with its length and two checksums, as in TensorFlow's record files.
//!
//! ```text
//! length u64 | masked CRC-32C of the length u32 | event | masked CRC-32C of the event u32      all little-endian
//! ```

use super::event::Event;
use crc::{CRC_32_ISCSI, Crc, Table};
use prost::Message;

const CRC_32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// An event as bytes of a file.
pub(super) fn encode(event: &Event) -> Vec<u8> {
    let event = event.encode_to_vec();
    let length = (event.len() as u64).to_le_bytes();
    let crcs = [masked_crc(&length).to_le_bytes(), masked_crc(&event).to_le_bytes()];
    [&length[..], &crcs[0], &event, &crcs[1]].concat()
}

/// A checksum that may be stored beside data that holds checksums itself.
fn masked_crc(bytes: &[u8]) -> u32 {
    CRC_32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The events of a file; panics where a length or a checksum is wrong.
#[cfg(test)]
pub(super) fn decode(mut bytes: &[u8]) -> Vec<Event> {
    fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
        bytes.split_off(..n).expect("the file ends in the middle of a record")
    }
    fn checked<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
        let data = take(bytes, n);
        let crc = u32::from_le_bytes(take(bytes, 4).try_into().unwrap());
        assert_eq!(crc, masked_crc(data), "the checksum is wrong");
        data
    }
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(checked(&mut bytes, 8).try_into().unwrap());
        events.push(Event::decode(checked(&mut bytes, length as usize)).unwrap());
    }
    events
}

#[cfg(test)]
mod tests {
    use super::super::event::Value;
    use super::*;

    /// Records that TensorBoard 2.21 makes of these events (its protocol buffers and `masked_crc32c`).
    const OFFICIAL: [&str; 5] = [
        "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c",
        "100000000000000095fbfe1809000000000000044010b9173a020801b27a9204",
        "200000000000000029eda950090000000000000c4010a01f2a120a100a0966616b652f6c6f7373150000803ecbd225fd",
        "2600000000000000734fe30009000000000000124010a01f2a180a160a0773616d706c6573220b080210031803220350\
         4e4713f45a25",
        "2d000000000000003c418afb0900000000000016402a220a200a06636f6e666967420c0807120412020801420268694a\
         080a060a047465787465197183",
    ];

    fn events() -> [Event; 5] {
        [
            Event::version(1.5),
            Event::purge(2.5, 3001),
            Event::summary(3.5, 4000, vec![Value::scalar("fake/loss", 0.25)]),
            Event::summary(4.5, 4000, vec![Value::png("samples", [3, 2], b"PNG".to_vec())]),
            Event::summary(5.5, 0, vec![Value::text("config", "hi".into())]),
        ]
    }

    #[test]
    fn records_are_those_of_tensorboard() {
        for (event, official) in events().into_iter().zip(OFFICIAL) {
            let bytes = encode(&event);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, official);
        }
    }

    #[test]
    fn the_checksum_is_the_castagnoli_one() {
        assert_eq!(CRC_32C.checksum(b"123456789"), 0xe306_9283); // the check value of its definition
    }

    #[test]
    fn events_can_be_read_back() {
        let bytes = events().iter().flat_map(encode).collect::<Vec<_>>();
        assert_eq!(decode(&bytes), events());
    }

    #[test]
    #[should_panic(expected = "the checksum is wrong")]
    fn a_flipped_bit_is_found() {
        let mut bytes = encode(&events()[2]);
        let last = bytes.len() - 6;
        bytes[last] ^= 1;
        let _ = decode(&bytes);
    }
}
