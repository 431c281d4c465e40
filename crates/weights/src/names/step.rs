//! What happens to a tensor besides getting another name.

use super::NameFault;
use crate::{TensorData, TensorInfo};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// A change of a tensor, as a file says it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// Axes of length one at the end are added or taken away.
    Rank(usize),
    /// A matrix is transposed.
    Transpose,
    /// Rows get another order of queries, keys and values.
    Qkv(Qkv),
}

/// From which order of rows to which.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Qkv {
    from: Order,
    to: Order,
}

/// How the rows of queries, keys and values lie, the slowest index first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Order {
    #[serde(rename = "3-head-dim")]
    ThreeHeadDim,
    #[serde(rename = "head-3-dim")]
    HeadThreeDim,
    #[serde(rename = "head-dim-3")]
    HeadDimThree,
    /// The first or the second, as the configuration says.
    #[serde(rename = "use_new_attention_order")]
    Configured,
}

/// A change of one certain tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Reshape(Vec<usize>),
    Transpose,
    /// For each row of the result, the row that it comes from.
    Rows(Vec<usize>),
}

impl Step {
    /// The change of a tensor, whose shape it updates; none if nothing changes.
    pub(super) fn prepare(
        self,
        tensor: &mut TensorInfo,
        config: &Map<String, Json>,
    ) -> Result<Option<Change>, NameFault> {
        match self {
            Self::Rank(rank) if rank == tensor.shape.len() => Ok(None),
            Self::Rank(rank) => {
                if tensor.shape.iter().skip(rank).any(|&size| size != 1) {
                    return Err(shape(tensor, format!("cannot have {rank} axes")));
                }
                tensor.shape.resize(rank, 1);
                Ok(Some(Change::Reshape(tensor.shape.clone())))
            }
            Self::Transpose if tensor.shape.len() == 2 => {
                tensor.shape.reverse();
                Ok(Some(Change::Transpose))
            }
            Self::Transpose => Err(shape(tensor, "is no matrix".into())),
            Self::Qkv(qkv) => qkv.prepare(tensor, config),
        }
    }
}

fn shape(tensor: &TensorInfo, reason: String) -> NameFault {
    NameFault::Shape { tensor: tensor.name.clone(), shape: tensor.shape.clone(), reason }
}

impl Qkv {
    fn prepare(
        self,
        tensor: &TensorInfo,
        config: &Map<String, Json>,
    ) -> Result<Option<Change>, NameFault> {
        let rows = tensor.shape.first().copied().unwrap_or(0);
        if rows == 0 || rows % 3 != 0 {
            return Err(shape(tensor, "has no rows of queries, keys and values".into()));
        }
        let resolve = |order| match order {
            Order::Configured => match config.get("use_new_attention_order") {
                Some(Json::Bool(true)) => Ok(Order::ThreeHeadDim),
                Some(Json::Bool(false)) => Ok(Order::HeadThreeDim),
                _ => Err(NameFault::Order(tensor.name.clone())),
            },
            order => Ok(order),
        };
        let (from, to) = (resolve(self.from)?, resolve(self.to)?);
        if from == to {
            return Ok(None);
        }
        let channels = rows / 3;
        let heads = heads(channels, config).ok_or_else(|| NameFault::Heads(tensor.name.clone()))?;
        if heads == 0 || channels % heads != 0 {
            return Err(shape(tensor, format!("does not split into {heads} heads")));
        }
        Ok(Some(Change::Rows(permutation(from, to, heads, channels / heads))))
    }
}

/// How many heads attention over so many channels has, if the configuration says.
fn heads(channels: usize, config: &Map<String, Json>) -> Option<usize> {
    let number = |field| config.get(field).and_then(Json::as_u64).filter(|&n| n > 0);
    let per_head = number("num_head_channels").map(|size| channels / size as usize);
    per_head.or_else(|| number("num_heads").map(|n| n as usize))
}

/// For each row in the order `to`, its place in the order `from`.
fn permutation(from: Order, to: Order, heads: usize, dim: usize) -> Vec<usize> {
    let place = |order, part, head, i| match order {
        Order::ThreeHeadDim | Order::Configured => (part * heads + head) * dim + i,
        Order::HeadThreeDim => (head * 3 + part) * dim + i,
        Order::HeadDimThree => (head * dim + i) * 3 + part,
    };
    let mut rows = vec![0; 3 * heads * dim];
    for part in 0..3 {
        for head in 0..heads {
            for i in 0..dim {
                rows[place(to, part, head, i)] = place(from, part, head, i);
            }
        }
    }
    rows
}

impl Change {
    /// Makes the change.
    pub(super) fn apply(&self, tensor: TensorData) -> TensorData {
        match self {
            Self::Reshape(shape) => TensorData { shape: shape.clone(), ..tensor },
            Self::Transpose => transpose(tensor),
            Self::Rows(rows) => {
                let row = tensor.bytes.len() / rows.len();
                let moved = rows.iter().flat_map(|&from| &tensor.bytes[from * row..][..row]);
                TensorData { bytes: moved.copied().collect(), ..tensor }
            }
        }
    }
}

fn transpose(tensor: TensorData) -> TensorData {
    let (item, rows, columns) = (tensor.dtype.size(), tensor.shape[0], tensor.shape[1]);
    let mut bytes = Vec::with_capacity(tensor.bytes.len());
    for column in 0..columns {
        for row in 0..rows {
            bytes.extend_from_slice(&tensor.bytes[(row * columns + column) * item..][..item]);
        }
    }
    TensorData { bytes, shape: vec![columns, rows], ..tensor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;
    use Order::{HeadDimThree, HeadThreeDim, ThreeHeadDim};
    use serde_json::json;

    fn tensor(shape: &[usize]) -> (TensorInfo, TensorData) {
        let (name, shape) = ("t".to_owned(), shape.to_vec());
        let bytes = (0..shape.iter().product::<usize>() as u8).collect();
        let data = TensorData { dtype: Dtype::U8, shape: shape.clone(), bytes };
        (TensorInfo { name, dtype: Dtype::U8, shape }, data)
    }

    fn config(json: Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn rows_move_as_by_hand() {
        // Two heads of two channels. In the order (3, head, dim) the rows are q00 q01 q10 q11 k00 k01 k10 k11 v00 v01 v10 v11.
        let by_hand = [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]; // q00 q01 k00 k01 v00 v01 q10 …
        assert_eq!(permutation(ThreeHeadDim, HeadThreeDim, 2, 2), by_hand);
        let by_hand = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]; // q00 k00 v00 q01 k01 v01 q10 …
        assert_eq!(permutation(ThreeHeadDim, HeadDimThree, 2, 2), by_hand);
        let by_hand = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11];
        assert_eq!(permutation(HeadThreeDim, HeadDimThree, 2, 2), by_hand);
    }

    #[test]
    fn every_order_leads_back() {
        let config = config(json!({ "num_head_channels": 2 }));
        let orders = [ThreeHeadDim, HeadThreeDim, HeadDimThree];
        for (from, to) in orders.iter().flat_map(|&a| orders.map(|b| (a, b))) {
            let (mut info, data) = tensor(&[18, 2]);
            let mut turn = |from, to, data: TensorData| {
                let change = Step::Qkv(Qkv { from, to }).prepare(&mut info, &config).unwrap();
                change.map_or(data.clone(), |change| change.apply(data))
            };
            let there = turn(from, to, data.clone());
            assert_eq!(there == data, from == to);
            assert_eq!(turn(to, from, there), data);
        }
    }

    #[test]
    fn axes_come_and_go() {
        let (mut info, data) = tensor(&[2, 3]);
        let mut turn = |step: Step, data: TensorData| {
            let data = step.prepare(&mut info, &Map::new()).unwrap().unwrap().apply(data);
            assert_eq!(data.shape, info.shape);
            data
        };
        let wide = turn(Step::Rank(4), data.clone());
        assert_eq!(wide.shape, [2, 3, 1, 1]);
        assert_eq!(turn(Step::Rank(2), wide), data);
        let turned = turn(Step::Transpose, data.clone());
        assert_eq!((&turned.shape[..], &turned.bytes[..]), (&[3, 2][..], &[0, 3, 1, 4, 2, 5][..]));
        assert_eq!(turn(Step::Transpose, turned), data);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |step: Step, shape: &[usize], json| {
            step.prepare(&mut tensor(shape).0, &config(json)).unwrap_err().to_string()
        };
        let qkv = Step::Qkv(Qkv { from: Order::Configured, to: HeadDimThree });
        let new = json!({ "use_new_attention_order": true });
        assert!(error(Step::Rank(1), &[2, 3], json!({})).contains("[2, 3] cannot have 1 axes"));
        assert!(error(Step::Transpose, &[2], json!({})).contains("is no matrix"));
        assert!(error(qkv, &[6], json!({})).contains("give `use_new_attention_order`"));
        assert!(error(qkv, &[6], new.clone()).contains("give `num_head_channels`"));
        assert!(error(qkv, &[7], new).contains("has no rows of queries"));
        let heads = json!({ "use_new_attention_order": false, "num_heads": 4 });
        assert!(error(qkv, &[6], heads).contains("does not split into 4 heads"));
    }
}
