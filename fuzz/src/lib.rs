//! What every target does with a file.
#![forbid(unsafe_code)]

use weights::{Checkpoint, Limits, Result};

/// Opens a file and asks it for everything. Any answer is right; a panic or a gigabyte is not.
pub fn exhaust(name: &str, bytes: &[u8]) {
    let _ = Checkpoint::from_bytes(name, bytes, Limits::default()).and_then(everything);
}

fn everything(file: Checkpoint) -> Result<()> {
    for tensor in file.tensors() {
        let data = file.read(&tensor.name)?;
        assert_eq!(data.bytes.len(), tensor.n_bytes());
        assert_eq!(data.to_f32().len(), tensor.numel());
    }
    file.values()?;
    for object in file.objects() {
        file.object(object)?;
    }
    for section in file.sections() {
        file.within(section)?;
    }
    Ok(())
}
