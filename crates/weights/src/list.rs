//! Lists of state dicts, and how a checkpoint differs from one.

use crate::{Dtype, Error, Problem, Result, TensorInfo};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::Path;

/// What a state dict should hold: a line `name [sizes] type` for each tensor.
///
/// ```text
/// model.map_layer0.weight [512, 128] float32
/// ```
///
/// Types have their PyTorch names. Empty lines are skipped.
///
/// # Example
/// ```
/// use weights::{Dtype, StateDictList, TensorInfo};
///
/// let list = StateDictList::parse("list.txt", "w [2, 3] float32\nb [2] float32\n")?;
/// let found = TensorInfo { name: "w".into(), dtype: Dtype::F32, shape: vec![3, 2] };
/// let lines: Vec<String> = list.diff(&[found]).iter().map(ToString::to_string).collect();
/// assert_eq!(lines, ["mismatched w: [2, 3] float32 in the list, [3, 2] float32 found", "missing b [2] float32"]);
/// # Ok::<(), weights::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDictList {
    tensors: Vec<TensorInfo>,
}

/// A line that is not of a list's form.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {text:?} is not of the form `name [sizes] type`, such as `w [2, 3] float32`")]
pub struct ListFault {
    line: usize,
    text: String,
}

/// A tensor that a list and a checkpoint do not agree about. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// In the list and not in the checkpoint.
    Missing(TensorInfo),
    /// In the checkpoint and not in the list.
    Unexpected(TensorInfo),
    /// In both, with other sizes or another type.
    Mismatched {
        /// As in the list.
        expected: TensorInfo,
        /// As in the checkpoint.
        found: TensorInfo,
    },
}

impl StateDictList {
    /// Reads a list from a file.
    ///
    /// # Errors
    /// [`Problem::Io`], or as [`parse`](Self::parse).
    pub fn open(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|reason| Error::new(path, reason))?;
        Self::parse(&path.to_string_lossy(), &text)
    }

    /// Reads a list from text; errors call it `name`.
    ///
    /// # Errors
    /// [`Problem::List`] with the first line that is wrong, [`Problem::DuplicateName`].
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let error = |problem| Error::new(Path::new(name), problem);
        let (mut tensors, mut names) = (Vec::new(), HashSet::new());
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        for (number, text) in lines {
            let fault = || ListFault { line: number + 1, text: text.into() };
            let tensor = tensor(text).ok_or_else(|| error(Problem::List(fault())))?;
            if !names.insert(tensor.name.clone()) {
                return Err(error(Problem::DuplicateName(tensor.name)));
            }
            tensors.push(tensor);
        }
        Ok(Self { tensors })
    }

    /// The tensors in the order of the list.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Every difference: first what the list has, in its order, then what only the checkpoint has.
    ///
    /// Floating-point types of another width are no difference: files hold the same network in half precision, too.
    pub fn diff(&self, found: &[TensorInfo]) -> Vec<Difference> {
        let by_name: HashMap<&str, &TensorInfo> = found.iter().map(|t| (&*t.name, t)).collect();
        let compare = |expected: &TensorInfo| match by_name.get(&*expected.name) {
            None => Some(Difference::Missing(expected.clone())),
            Some(found) if is_alike(expected, found) => None,
            Some(&found) => {
                let (expected, found) = (expected.clone(), found.clone());
                Some(Difference::Mismatched { expected, found })
            }
        };
        let listed: HashSet<&str> = self.tensors.iter().map(|tensor| &*tensor.name).collect();
        let is_unexpected = |tensor: &&TensorInfo| !listed.contains(&*tensor.name);
        let unexpected = found.iter().filter(is_unexpected).cloned().map(Difference::Unexpected);
        self.tensors.iter().filter_map(compare).chain(unexpected).collect()
    }
}

fn is_alike(a: &TensorInfo, b: &TensorInfo) -> bool {
    let is_same_type = a.dtype == b.dtype || (a.dtype.is_float() && b.dtype.is_float());
    a.shape == b.shape && is_same_type
}

/// The tensor of a line.
fn tensor(line: &str) -> Option<TensorInfo> {
    let (rest, dtype) = line.trim_end().rsplit_once(' ')?;
    let (name, sizes) = rest.strip_suffix(']')?.split_once(" [")?;
    let sizes = sizes.split(", ").filter(|size| !size.is_empty());
    let shape = sizes.map(|size| size.parse().ok()).collect::<Option<_>>()?;
    let dtype = Dtype::of_torch(dtype)?;
    (!name.is_empty()).then(|| TensorInfo { name: name.into(), dtype, shape })
}

/// `[sizes] type` of a tensor.
fn form(tensor: &TensorInfo) -> String {
    let dtype = tensor.dtype.torch_name();
    format!("{:?} {}", tensor.shape, dtype.trim_start_matches("torch."))
}

impl fmt::Display for StateDictList {
    /// The list as a file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tensors.iter().try_for_each(|tensor| writeln!(f, "{} {}", tensor.name, form(tensor)))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(tensor) => write!(f, "missing {} {}", tensor.name, form(tensor)),
            Self::Unexpected(tensor) => write!(f, "unexpected {} {}", tensor.name, form(tensor)),
            Self::Mismatched { expected, found } => {
                let (name, expected, found) = (&expected.name, form(expected), form(found));
                write!(f, "mismatched {name}: {expected} in the list, {found} found")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_written_as_it_was_read() {
        let text = "a.b [2, 3, 1] float32\nscalar [] int64\nhalf [0] bfloat16\n";
        let list = StateDictList::parse("list", text).unwrap();
        assert_eq!(list.tensors()[1].shape, [] as [usize; 0]);
        assert_eq!(list.to_string(), text);
        assert_eq!(list.diff(list.tensors()), []);
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let list =
            StateDictList::parse("list", "a [1] float32\nb [2] int64\nc [3] float32").unwrap();
        let found =
            StateDictList::parse("found", "d [4] bool\nc [3] float16\nb [2] int32").unwrap();
        let lines: Vec<_> = list.diff(found.tensors()).iter().map(ToString::to_string).collect();
        let expected = [
            "missing a [1] float32",
            "mismatched b: [2] int64 in the list, [2] int32 found",
            "unexpected d [4] bool",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for line in ["w", "w float32", "w [2, x] float32", "w [2] float33", " [2] float32"] {
            let error = StateDictList::parse("list.txt", &format!("\n{line}")).unwrap_err();
            let expected = format!("list.txt: line 2: {line:?} is not of the form");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        let error = StateDictList::parse("list.txt", "w [1] bool\nw [2] bool").unwrap_err();
        assert!(error.to_string().contains("two tensors have the name `w`"));
    }
}
