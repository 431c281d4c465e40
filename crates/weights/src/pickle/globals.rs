//! The names that a pickle may mention.

use super::{Fault, Machine, Object, opcode as op};
use crate::Dtype;

/// What a name in a pickle stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Global {
    /// A dictionary type, made from nothing or from pairs.
    Dict,
    /// A dictionary type that is made from a function for missing values.
    DefaultDict,
    Set,
    Bytes,
    /// `_codecs.encode`: how protocol 2 writes bytes.
    Encode,
    /// `torch.Size`: a tuple.
    Size,
    Device,
    Dtype(Dtype),
    /// A class of storages, by its elements.
    Storage(Dtype),
    RebuildTensor,
    RebuildParameter,
    LoadFromBytes,
    /// `torch.jit._pickle`: what a list or dictionary of one type is wrapped in.
    Typed,
    /// `complex`: two floats.
    Complex,
    /// The constructor of objects that carry their source text.
    Persistent,
    NumPyScalar,
    NumPyType,
    /// A class whose objects are attributes and nothing more.
    Class(Box<str>),
}

/// Every name that is known, besides `torch.<type>`, `torch.<Type>Storage` and the modules of `torch.nn`.
const TABLE: &[(&str, &str, Global)] = &[
    ("collections", "OrderedDict", Global::Dict),
    ("collections", "defaultdict", Global::DefaultDict),
    ("collections", "Counter", Global::Dict),
    ("builtins", "dict", Global::Dict),
    ("__builtin__", "dict", Global::Dict),
    ("dnnlib.util", "EasyDict", Global::Dict),
    ("builtins", "set", Global::Set),
    ("__builtin__", "set", Global::Set),
    ("builtins", "frozenset", Global::Set),
    ("__builtin__", "frozenset", Global::Set),
    ("builtins", "bytes", Global::Bytes),
    ("__builtin__", "bytes", Global::Bytes),
    ("_codecs", "encode", Global::Encode),
    ("torch", "Size", Global::Size),
    ("torch", "device", Global::Device),
    ("torch._utils", "_rebuild_tensor", Global::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v2", Global::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Global::RebuildParameter),
    ("torch.storage", "_load_from_bytes", Global::LoadFromBytes),
    ("torch.jit._pickle", "build_intlist", Global::Typed),
    ("torch.jit._pickle", "build_doublelist", Global::Typed),
    ("torch.jit._pickle", "build_boollist", Global::Typed),
    ("torch.jit._pickle", "build_tensorlist", Global::Typed),
    ("torch.jit._pickle", "restore_type_tag", Global::Typed),
    ("builtins", "complex", Global::Complex),
    ("torch_utils.persistence", "_reconstruct_persistent_obj", Global::Persistent),
    ("numpy.core.multiarray", "scalar", Global::NumPyScalar),
    ("numpy._core.multiarray", "scalar", Global::NumPyScalar),
    ("numpy", "dtype", Global::NumPyType),
];

/// Classes whose objects hold attributes alone.
const CLASSES: &[(&str, &str)] = &[("argparse", "Namespace"), ("types", "SimpleNamespace")];

/// Where the layers of `torch.nn` live. Their objects are attributes, too; none of their code is needed.
const LAYERS: &str = "torch.nn.modules.";

/// Where the classes of TorchScript live. Their code lies beside the pickle and is left unread.
const SCRIPT: &str = "__torch__";

/// Where TorchScript has classes that are written in C++ and pack their data in a way of their own.
const NATIVE: &str = "__torch__.torch.classes.";

/// Functions of `torch._utils` that make tensors of kinds that are not read.
const KINDS: &[(&str, &str)] = &[
    ("_rebuild_qtensor", "quantized"),
    ("_rebuild_sparse_tensor", "sparse"),
    ("_rebuild_sparse_csr_tensor", "sparse"),
    ("_rebuild_nested_tensor", "nested"),
];

/// Whether a class is one of TorchScript.
pub(crate) fn is_script(class: &str) -> bool {
    class.strip_prefix(SCRIPT).is_some_and(|rest| rest.starts_with('.'))
}

impl Global {
    /// What `module.name` stands for.
    fn find(module: &str, name: &str) -> Result<Self, Fault> {
        if let Some(row) = TABLE.iter().find(|row| (row.0, row.1) == (module, name)) {
            return Ok(row.2.clone());
        }
        if module == "torch" {
            let dtype = Dtype::of_torch(name).map(Self::Dtype);
            if let Some(known) = dtype.or(Dtype::of_storage(name).map(Self::Storage)) {
                return Ok(known);
            }
        }
        let class = format!("{module}.{name}");
        if class.starts_with(NATIVE) {
            return Err(Fault::NativeClass(class));
        }
        if is_script(&class) || module.starts_with(LAYERS) || CLASSES.contains(&(module, name)) {
            return Ok(Self::Class(class.into()));
        }
        if let Some((_, kind)) = KINDS.iter().find(|row| module == "torch._utils" && row.0 == name)
        {
            return Err(Fault::TensorKind(kind));
        }
        Err(Fault::RefusedGlobal { module: module.into(), name: name.into() })
    }
}

impl Machine<'_, '_> {
    /// Looks a name up and pushes what it stands for.
    pub(super) fn global(&mut self, opcode: u8) -> Result<(), Fault> {
        let global = if opcode == op::GLOBAL {
            let (module, name) = (self.input.line()?, self.input.line()?);
            Global::find(&module, &name)?
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let text = |value| self.heap.text(value).ok_or(self.heap.expected("a name", value));
            Global::find(text(module)?, text(name)?)?
        };
        self.push_object(Object::Global(global))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_found() {
        assert_eq!(Global::find("torch", "float16").unwrap(), Global::Dtype(Dtype::F16));
        assert_eq!(Global::find("torch", "BoolStorage").unwrap(), Global::Storage(Dtype::Bool));
        assert_eq!(Global::find("collections", "OrderedDict").unwrap(), Global::Dict);
        let class = Global::find("torch.nn.modules.container", "ModuleDict").unwrap();
        assert_eq!(class, Global::Class("torch.nn.modules.container.ModuleDict".into()));
        let class = Global::find("__torch__", "Net").unwrap();
        assert_eq!(class, Global::Class("__torch__.Net".into()));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("__builtin__", "getattr"),
            ("torch", "load"),
            ("torch", ""),
            ("torch", "Storage"),
            ("torch.nn.modules", "x"),
            ("torch.hub", "load"),
            ("__torch__2", "Net"),
            ("__torch__.torch.classes.quantized", "LinearPackedParamsBase"),
            ("numpy", "load"),
        ] {
            let error = Global::find(module, name).unwrap_err().to_string();
            assert!(error.contains(&format!("`{module}.{name}`")), "{error}");
        }
        let quantized = Global::find("torch._utils", "_rebuild_qtensor").unwrap_err();
        assert!(quantized.to_string().starts_with("a quantized tensor"), "{quantized}");
    }
}
