//! What calls would return.

use super::globals::is_script;
use super::opcode as op;
use super::{Fault, Global, Machine, Object, Value};

impl Machine<'_, '_> {
    /// Names, calls and objects; whether `opcode` is one of these.
    pub(super) fn call(&mut self, opcode: u8) -> Result<bool, Fault> {
        match opcode {
            op::GLOBAL | op::STACK_GLOBAL => self.global(opcode)?,
            op::REDUCE => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let result = self.reduce(function, arguments)?;
                self.push(result)?;
            }
            op::NEWOBJ => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                let object = self.new_object(class, arguments)?;
                self.push(object)?;
            }
            op::BUILD => {
                let (state, target) = (self.pop()?, self.top()?);
                self.build(target, state)?;
            }
            op::BINPERSID => {
                let id = self.pop()?;
                let storage = self.persistent_storage(id)?;
                self.push(storage)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The result of `function(*arguments)`.
    fn reduce(&mut self, function: Value, arguments: Value) -> Result<Value, Fault> {
        let called = self.function(function)?;
        if matches!(&called, Global::Class(class) if is_script(class)) {
            return Ok(arguments); // a member of an enumeration, for which TorchScript writes its value
        }
        let values = self.arguments(arguments)?;
        match (called, &values[..]) {
            (Global::Dict, []) | (Global::DefaultDict, [_]) => {
                self.heap.add(Object::Dict(Vec::new()))
            }
            (Global::Dict, &[pairs]) => self.dict(pairs),
            (Global::Set, []) => self.heap.add(Object::Set(Vec::new())),
            (Global::Set, &[list]) => self.set(list),
            (Global::Bytes, []) => self.heap.add(Object::Blob([].into())),
            (Global::Encode, &[text, codec]) => self.encode(text, codec),
            (Global::Size, &[sizes]) => Ok(sizes),
            (Global::Device, &[kind, ref index @ ..]) => self.device(kind, index),
            (Global::RebuildTensor, values) => self.tensor(values),
            (Global::RebuildParameter, &[tensor, _, _]) => self.parameter(tensor),
            (Global::Typed, &[value] | &[value, _]) => Ok(value),
            (Global::Complex, &[_, _]) => Ok(arguments),
            (Global::LoadFromBytes, &[bytes]) => self.embedded_storage(bytes),
            (Global::Persistent, &[meta]) => self.persistent_object(meta),
            (Global::NumPyType, &[code, ..]) => self.numpy_type(code),
            (Global::NumPyScalar, &[dtype, bytes]) => self.numpy_scalar(dtype, bytes),
            (Global::Class(_), _) => self.new_object(function, arguments),
            _ => {
                Err(Fault::Expected { expected: "a call with fitting arguments", found: "others" })
            }
        }
    }

    fn function(&self, value: Value) -> Result<Global, Fault> {
        match self.heap.get(value) {
            Some(Object::Global(global)) => Ok(global.clone()),
            _ => Err(self.heap.expected("a class or function", value)),
        }
    }

    fn arguments(&self, value: Value) -> Result<Vec<Value>, Fault> {
        const MOST: usize = 16;
        match self.heap.tuple(value) {
            Some(values) if values.len() <= MOST => Ok(values.into()),
            _ => Err(self.heap.expected("a short tuple of arguments", value)),
        }
    }

    /// A dictionary from a list of pairs, as Python 2 writes ordered ones, or a copy of another one.
    fn dict(&mut self, source: Value) -> Result<Value, Fault> {
        let pairs = match self.heap.get(source) {
            Some(Object::Dict(pairs)) => Ok(pairs.clone()),
            Some(Object::List(list)) => list.iter().map(|&pair| self.pair(pair)).collect(),
            _ => Err(self.heap.expected("pairs", source)),
        }?;
        self.heap.charge_values(2 * pairs.len())?;
        self.heap.add(Object::Dict(pairs))
    }

    fn pair(&self, value: Value) -> Result<(Value, Value), Fault> {
        match self.heap.get(value) {
            Some(Object::List(pair)) if pair.len() == 2 => Ok((pair[0], pair[1])),
            Some(Object::Tuple(pair)) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(self.heap.expected("a pair", value)),
        }
    }

    fn set(&mut self, source: Value) -> Result<Value, Fault> {
        let values = match self.heap.get(source) {
            Some(Object::List(values)) => values.clone(),
            _ => return Err(self.heap.expected("a list", source)),
        };
        self.heap.charge_values(values.len())?;
        self.heap.add(Object::Set(values))
    }

    /// Bytes that are spelled as text: every character is a byte.
    fn encode(&mut self, text: Value, codec: Value) -> Result<Value, Fault> {
        let Some(text) = self.heap.text(text).filter(|_| self.heap.text(codec) == Some("latin1"))
        else {
            return Err(self.heap.expected("text to encode as latin1", text));
        };
        let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
        let wide = |_| Fault::Expected { expected: "latin1 text", found: "other characters" };
        let bytes = bytes.map_err(wide)?;
        self.heap.charge(bytes.len())?;
        self.heap.add(Object::Blob(bytes.into()))
    }

    /// `cpu` or `cuda:0` as text. Everything is read for the CPU; the device is a piece of information.
    fn device(&mut self, kind: Value, index: &[Value]) -> Result<Value, Fault> {
        let kind = self.heap.text(kind).ok_or(self.heap.expected("a device", kind))?;
        let text = match index {
            [] => kind.into(),
            [Value::Int(index)] => format!("{kind}:{index}"),
            _ => return Err(Fault::Expected { expected: "one index", found: "something else" }),
        };
        self.heap.add_text(text)
    }

    /// An object that carries its class as source text, which is left unread: name and attributes are enough.
    fn persistent_object(&mut self, meta: Value) -> Result<Value, Fault> {
        let entry = |key| self.heap.entry(meta, key).unwrap_or(Value::None);
        if self.heap.text(entry("type")) != Some("class") {
            return Err(self.heap.expected("a persistent object of type `class`", entry("type")));
        }
        let class = entry("class_name");
        let class: Box<str> =
            self.heap.text(class).ok_or(self.heap.expected("a class name", class))?.into();
        let state = self.attributes(entry("state"))?;
        self.heap.charge(class.len())?;
        self.heap.add(Object::Instance { class, state })
    }

    fn attributes(&self, state: Value) -> Result<Value, Fault> {
        match self.heap.pairs(state) {
            Some(_) => Ok(state),
            None => Err(self.heap.expected("a dictionary of attributes", state)),
        }
    }

    /// `class.__new__(class, *arguments)`.
    fn new_object(&mut self, class: Value, arguments: Value) -> Result<Value, Fault> {
        let n = self.arguments(arguments)?.len();
        match self.function(class)? {
            Global::Dict if n == 0 => self.heap.add(Object::Dict(Vec::new())),
            Global::Class(class) if n == 0 => {
                self.heap.charge(class.len())?;
                self.heap.add(Object::Instance { class, state: Value::None })
            }
            _ => Err(self.heap.expected("a class of plain objects", class)),
        }
    }

    /// Gives an object its attributes. Those of dictionaries (such as the versions that PyTorch adds) are left out. An
    /// object of TorchScript may save itself as something else than attributes.
    fn build(&mut self, target: Value, state: Value) -> Result<(), Fault> {
        if matches!(self.heap.get(target), Some(Object::NumPyType { .. })) {
            return self.numpy_byte_order(target, state);
        }
        let attributes = match self.heap.get(target) {
            Some(Object::Instance { class, .. }) if is_script(class) => Ok(state),
            _ => self.attributes(state),
        };
        match self.heap.get_mut(target) {
            Some(Object::Dict(_)) => Ok(()),
            Some(Object::Instance { state, .. }) => {
                *state = attributes?;
                Ok(())
            }
            _ => Err(self.heap.expected("an object that takes attributes", target)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::pickle::trial::run;

    #[test]
    fn containers_by_call() {
        for (pickle, shown) in [
            (&b"ccollections\nOrderedDict\n)R."[..], "{}"),
            (b"ccollections\nOrderedDict\n]](K\x01Nea\x85R.", "{Int(1):None}"),
            (b"ccollections\ndefaultdict\nc__builtin__\nset\n\x85R.", "{}"),
            (b"cdnnlib.util\nEasyDict\n)\x81K\x01Ns.", "{Int(1):None}"),
            (b"c__builtin__\nset\n](K\x01e\x85R.", "set(Int(1))"),
            (b"ctorch\nSize\nK\x03\x85\x85R.", "(Int(3))"),
            (b"ctorch\ndevice\nU\x04cudaK\x01\x86R.", "'cuda:1'"),
            (b"ctorch\ndevice\nU\x03cpu\x85R.", "'cpu'"),
            (b"c_codecs\nencode\nX\x03\0\0\0a\xc3\xbfU\x06latin1\x86R.", "Blob([97, 255])"),
            (b"c__builtin__\nbytes\n)R.", "Blob([])"),
            (b"ctorch.jit._pickle\nbuild_intlist\n](K\x01K\x02e\x85R.", "[Int(1) Int(2)]"),
            (b"ctorch.jit._pickle\nrestore_type_tag\n}U\x01t\x86R.", "{}"),
            (b"cbuiltins\ncomplex\nK\x01K\x02\x86R.", "(Int(1) Int(2))"),
            (b"c__torch__\nColor\nK\x02R.", "Int(2)"),
            (b"\x8c\x05torch\x8c\x05int64\x93.", "Global(Dtype(I64))"),
        ] {
            assert_eq!(run(pickle).unwrap(), shown);
        }
    }

    #[test]
    fn objects_are_a_class_name_and_attributes() {
        let layer = b"ctorch.nn.modules.container\nModuleDict\n)\x81}U\x01aNsb.";
        assert_eq!(run(layer).unwrap(), "<torch.nn.modules.container.ModuleDict {'a':None}>");
        let meta = b"}(U\x04typeU\x05classU\x0aclass_nameU\x03NetU\x05state}U\x01aNsu";
        let call = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n";
        let object = [&call[..], meta, b"\x85R."].concat();
        assert_eq!(run(&object).unwrap(), "<Net {'a':None}>");
        let script = b"c__torch__.net\nNet\n)\x81}U\x01aNsb.";
        assert_eq!(run(script).unwrap(), "<__torch__.net.Net {'a':None}>");
        let own = b"c__torch__.net\nNet\n)\x81K\x07\x85b.";
        assert_eq!(run(own).unwrap(), "<__torch__.net.Net (Int(7))>");
    }

    #[test]
    fn what_cannot_be_called_is_an_error() {
        for (pickle, message) in [
            (&b"cos\nsystem\n)R."[..], "byte 0: asks for `os.system`"),
            (b"\x8c\x05posix\x8c\x06system\x93.", "byte 15: asks for `posix.system`"),
            (b"N)R.", "byte 2: expected a class or function, found None"),
            (b"ctorch\nSize\nNR.", "byte 13: expected a short tuple"),
            (b"ctorch\nSize\n)R.", "byte 13: expected a call with fitting"),
            (b"ctorch\nSize\n)\x81.", "byte 13: expected a class of plain objects"),
            (b"ctorch.nn.modules.x\nY\nN\x85\x81.", "byte 24: expected a class of plain"),
            (b"]}b.", "byte 2: expected an object that takes"),
            (
                b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x85R.",
                "byte 55: expected a pers",
            ),
        ] {
            let error = run(pickle).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
