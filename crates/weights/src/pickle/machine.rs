//! The stack machine.

use super::opcode::{self as op, refusal};
use super::{Fault, Heap, Input, Object, Value};
use crate::Problem;
use std::collections::HashMap;

/// Storages by the key that a persistent id gives them.
pub(crate) type Keys = HashMap<Box<str>, usize>;

/// Values that may wait on the stack, and groups that may be open. Files in use need some thousand.
const STACK: usize = 1 << 18;
/// Bytes to remember a value: the entry of a table, with room.
const MEMO_ENTRY: usize = 64;

/// Runs one pickle.
///
/// The memo is a table of what was stored, so an index of four billion takes no more room than an index of zero.
#[derive(Debug)]
pub(crate) struct Machine<'m, 's> {
    pub(super) input: &'m mut Input<'s>,
    pub(super) heap: &'m mut Heap,
    pub(super) keys: &'m mut Keys,
    /// Whether this pickle lies within another one. Such a pickle cannot hold a third.
    pub(super) is_embedded: bool,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'m, 's> Machine<'m, 's> {
    pub(crate) fn new(input: &'m mut Input<'s>, heap: &'m mut Heap, keys: &'m mut Keys) -> Self {
        let (stack, marks, memo) = Default::default();
        Self { input, heap, keys, is_embedded: false, stack, marks, memo }
    }

    /// The machine for a pickle within a pickle.
    pub(super) fn embedded(self, is_embedded: bool) -> Self {
        Self { is_embedded, ..self }
    }

    /// The object that the pickle describes. The input is then behind the pickle.
    pub(crate) fn run(mut self) -> Result<Value, Problem> {
        loop {
            let at = self.input.position();
            let located = |fault| Problem::Pickle { at, fault };
            let opcode = self.input.byte().map_err(located)?;
            if opcode == op::STOP {
                return self.pop().map_err(located);
            }
            self.step(opcode).map_err(located)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), Fault> {
        let is_done = self.stack_step(opcode)?
            || self.atom(opcode)?
            || self.container(opcode)?
            || self.call(opcode)?;
        if is_done { Ok(()) } else { Err(refusal(opcode)) }
    }

    /// Frames, the stack itself and the memo; whether `opcode` is one of these.
    fn stack_step(&mut self, opcode: u8) -> Result<bool, Fault> {
        match opcode {
            op::PROTO => self.protocol()?,
            op::FRAME => {
                let len = u64::from_le_bytes(self.input.array()?);
                self.input.require(len)?;
            }
            op::MARK => self.mark()?,
            op::POP => drop(self.pop()?),
            op::POP_MARK => drop(self.pop_group()?),
            op::DUP => self.push(self.top()?)?,
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(opcode)?,
            op::BINGET | op::LONG_BINGET => {
                let index = self.memo_index(opcode)?;
                let value = *self.memo.get(&index).ok_or(Fault::NoMemo(index))?;
                self.push(value)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn protocol(&mut self) -> Result<(), Fault> {
        match self.input.byte()? {
            0..=5 => Ok(()),
            unknown => Err(Fault::Protocol(unknown)),
        }
    }

    fn remember(&mut self, opcode: u8) -> Result<(), Fault> {
        let index = self.memo_index(opcode)?;
        self.heap.charge(MEMO_ENTRY)?;
        self.memo.insert(index, self.top()?);
        Ok(())
    }

    fn memo_index(&mut self, opcode: u8) -> Result<u32, Fault> {
        Ok(match opcode {
            op::MEMOIZE => self.memo.len() as u32, // bounded by the heap's limit
            op::BINPUT | op::BINGET => self.input.byte()?.into(),
            _ => u32::from_le_bytes(self.input.array()?),
        })
    }

    fn mark(&mut self) -> Result<(), Fault> {
        if self.marks.len() == STACK {
            return Err(Fault::StackOverflow(STACK));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub(super) fn push(&mut self, value: Value) -> Result<(), Fault> {
        if self.stack.len() == STACK {
            return Err(Fault::StackOverflow(STACK));
        }
        self.stack.push(value);
        Ok(())
    }

    /// Adds an object and puts it on the stack.
    pub(super) fn push_object(&mut self, object: Object) -> Result<(), Fault> {
        let value = self.heap.add(object)?;
        self.push(value)
    }

    /// Values of the group that is open belong to it alone.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Value, Fault> {
        if self.stack.len() <= self.floor() {
            return Err(Fault::StackUnderflow);
        }
        self.stack.pop().ok_or(Fault::StackUnderflow)
    }

    pub(super) fn top(&self) -> Result<Value, Fault> {
        let group = self.stack.get(self.floor()..).unwrap_or_default();
        group.last().copied().ok_or(Fault::StackUnderflow)
    }

    /// Everything since the last mark.
    pub(super) fn pop_group(&mut self) -> Result<Vec<Value>, Fault> {
        let start = self.marks.pop().ok_or(Fault::NoMark)?;
        Ok(self.stack.split_off(start.min(self.stack.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pickle::trial::run;

    #[test]
    fn the_stack_and_the_memo() {
        assert_eq!(run(b"\x80\x02K\x01.").unwrap(), "Int(1)");
        assert_eq!(run(b"K\x01K\x020.").unwrap(), "Int(1)"); // POP
        assert_eq!(run(b"K\x01(K\x02K\x031.").unwrap(), "Int(1)"); // POP_MARK
        assert_eq!(run(b"K\x072\x86.").unwrap(), "(Int(7) Int(7))"); // DUP
        assert_eq!(run(b"K\x05q\x090h\x09.").unwrap(), "Int(5)"); // BINPUT, BINGET
        assert_eq!(run(b"K\x05r\0\0\0\xff0j\0\0\0\xff.").unwrap(), "Int(5)");
        assert_eq!(run(b"K\x05\x94K\x06\x9400h\x01.").unwrap(), "Int(6)"); // MEMOIZE
        assert_eq!(run(b"\x95\x03\0\0\0\0\0\0\0K\x05.").unwrap(), "Int(5)"); // FRAME
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        for (pickle, message) in [
            (&b""[..], "byte 0: the file ends"),
            (b"K\x01", "byte 2: the file ends"),
            (b".", "byte 0: the stack is empty"),
            (b"K\x01(.", "byte 3: the stack is empty"),
            (b"K\x01t.", "byte 2: a group ends"),
            (b"h\x03.", "byte 0: value 3 is recalled"),
            (b"\x95\x04\0\0\0\0\0\0\0K\x05.", "byte 0: the file ends"),
            (b"\x80\x06N.", "byte 0: pickle protocol 6"),
            (b"N\xff.", "byte 1: 0xff is no instruction"),
        ] {
            let error = run(pickle).unwrap_err();
            assert!(error.starts_with(message), "{pickle:?}: {error}");
        }
    }

    #[test]
    fn refused_instructions_are_named() {
        for (opcode, name) in [
            (b'I', "INT"),
            (b'S', "STRING"),
            (b'P', "PERSID"),
            (b'i', "INST"),
            (b'o', "OBJ"),
            (0x92, "NEWOBJ_EX"),
            (0x82, "EXT1"),
            (0x97, "NEXT_BUFFER"),
        ] {
            let error = run(&[b'N', opcode, b'.']).unwrap_err();
            assert!(error.starts_with(&format!("byte 1: instruction {name} ")), "{error}");
        }
    }

    #[test]
    fn a_stack_without_end_is_stopped() {
        for opcode in *b"(N" {
            let error = run(&vec![opcode; STACK + 1]).unwrap_err();
            assert!(error.contains("wait on the stack"), "{error}");
        }
        let error = run(&vec![b']'; 1 << 20]).unwrap_err();
        assert!(error.contains("(Limits::structure)") || error.contains("stack"), "{error}");
    }
}
