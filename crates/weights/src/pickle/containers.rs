//! Lists, tuples, dictionaries and sets.

use super::opcode as op;
use super::{Fault, Machine, Object, Value};

impl Machine<'_, '_> {
    /// Makes or fills a container; whether `opcode` does that.
    pub(super) fn container(&mut self, opcode: u8) -> Result<bool, Fault> {
        match opcode {
            op::EMPTY_LIST => self.push_object(Object::List(Vec::new()))?,
            op::EMPTY_DICT => self.push_object(Object::Dict(Vec::new()))?,
            op::EMPTY_SET => self.push_object(Object::Set(Vec::new()))?,
            op::EMPTY_TUPLE => self.push_object(Object::Tuple([].into()))?,
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let values = self.pop_last(usize::from(opcode - op::TUPLE1) + 1)?;
                self.push_object(Object::Tuple(values.into()))?;
            }
            op::TUPLE | op::LIST | op::DICT | op::FROZENSET => self.group(opcode)?,
            op::APPEND | op::APPENDS => {
                let values =
                    if opcode == op::APPEND { self.pop_last(1)? } else { self.pop_group()? };
                self.extend(values, "a list")?;
            }
            op::ADDITEMS => {
                let values = self.pop_group()?;
                self.extend(values, "a set")?;
            }
            op::SETITEM => {
                let values = self.pop_last(2)?;
                self.set_items(values)?;
            }
            op::SETITEMS => {
                let values = self.pop_group()?;
                self.set_items(values)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn pop_last(&mut self, n: usize) -> Result<Vec<Value>, Fault> {
        let mut values = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        values.reverse();
        Ok(values)
    }

    /// A container of everything since the last mark.
    fn group(&mut self, opcode: u8) -> Result<(), Fault> {
        let values = self.pop_group()?;
        self.heap.charge_values(values.len())?;
        let object = match opcode {
            op::TUPLE => Object::Tuple(values.into()),
            op::LIST => Object::List(values),
            op::DICT => Object::Dict(pairs(&values)?),
            _ => Object::Set(values),
        };
        self.push_object(object)
    }

    /// Adds values to the list or set on top of the stack.
    fn extend(&mut self, values: Vec<Value>, expected: &'static str) -> Result<(), Fault> {
        let target = self.top()?;
        self.heap.charge_values(values.len())?;
        match self.heap.get_mut(target) {
            Some(Object::List(list)) if expected == "a list" => list.extend(values),
            Some(Object::Set(set)) if expected == "a set" => set.extend(values),
            _ => return Err(self.heap.expected(expected, target)),
        }
        Ok(())
    }

    /// Adds keys and values in turn to the dictionary on top of the stack.
    fn set_items(&mut self, values: Vec<Value>) -> Result<(), Fault> {
        let target = self.top()?;
        self.heap.charge_values(values.len())?;
        match self.heap.get_mut(target) {
            Some(Object::Dict(dict)) => dict.extend(pairs(&values)?),
            _ => return Err(self.heap.expected("a dictionary", target)),
        }
        Ok(())
    }
}

fn pairs(values: &[Value]) -> Result<Vec<(Value, Value)>, Fault> {
    let (pairs, rest) = values.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::Expected { expected: "a value for every key", found: "a key alone" });
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}

#[cfg(test)]
mod tests {
    use crate::pickle::trial::run;

    #[test]
    fn every_container() {
        for (pickle, shown) in [
            (&b"]."[..], "[]"),
            (b"]K\x01a.", "[Int(1)]"),
            (b"](K\x01K\x02e.", "[Int(1) Int(2)]"),
            (b"(K\x01l.", "[Int(1)]"),
            (b").", "()"),
            (b"K\x01\x85.", "(Int(1))"),
            (b"K\x01K\x02\x86.", "(Int(1) Int(2))"),
            (b"K\x01K\x02K\x03\x87.", "(Int(1) Int(2) Int(3))"),
            (b"(K\x01K\x02t.", "(Int(1) Int(2))"),
            (b"}.", "{}"),
            (b"}K\x01Ns.", "{Int(1):None}"),
            (b"}(K\x01NK\x02Nu.", "{Int(1):None Int(2):None}"),
            (b"(K\x01Nd.", "{Int(1):None}"),
            (b"\x8f(K\x01\x90.", "set(Int(1))"),
            (b"(K\x01\x91.", "set(Int(1))"),
        ] {
            assert_eq!(run(pickle).unwrap(), shown);
        }
    }

    #[test]
    fn a_container_takes_what_fits_it() {
        for (pickle, message) in [
            (&b"}K\x01a."[..], "byte 3: expected a list, found a dictionary"),
            (b"](K\x01\x90.", "byte 4: expected a set, found a list"),
            (b"NK\x01K\x02s.", "byte 5: expected a dictionary, found None"),
            (b"}(K\x01u.", "byte 4: expected a value for every key"),
            (b"K\x01\x86.", "byte 2: the stack is empty"),
            (b"](K\x01a.", "byte 4: the stack is empty"), // the list is outside of the open group
        ] {
            let error = run(pickle).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
