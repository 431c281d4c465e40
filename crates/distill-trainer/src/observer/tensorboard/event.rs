//! The messages of an event file: the parts of TensorFlow's `event.proto`, `summary.proto` and `tensor.proto` that are
//! written here. Names and numbers are theirs.

/// The version of event files in which [`SessionLog::START`] hides later steps.
const FILE_VERSION: &str = "brain.Event:2";
/// The data type of strings.
const DT_STRING: i32 = 7;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(string, optional, tag = "3")]
    pub(super) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub(super) session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SessionLog {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<Image>,
    #[prost(message, optional, tag = "8")]
    pub(super) tensor: Option<Strings>,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Image {
    #[prost(int32, tag = "1")]
    pub(super) height: i32,
    #[prost(int32, tag = "2")]
    pub(super) width: i32,
    /// The number of channels.
    #[prost(int32, tag = "3")]
    pub(super) colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) encoded_image_string: Vec<u8>,
}

/// A `TensorProto` of strings.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Strings {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    tensor_shape: Option<Shape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(super) string_val: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Shape {
    #[prost(message, repeated, tag = "2")]
    dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Dim {
    #[prost(int64, tag = "1")]
    size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    plugin_data: Option<PluginData>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PluginData {
    #[prost(string, tag = "1")]
    plugin_name: String,
}

impl SessionLog {
    /// `SessionLog.SessionStatus.START`.
    pub(super) const START: i32 = 1;
}

impl Event {
    /// The first event of every file.
    pub(super) fn version(wall_time: f64) -> Self {
        Self { wall_time, file_version: Some(FILE_VERSION.into()), ..Self::default() }
    }

    /// Hides what earlier files of the folder say about `step` and all later ones.
    pub(super) fn purge(wall_time: f64, step: i64) -> Self {
        let session_log = Some(SessionLog { status: SessionLog::START });
        Self { wall_time, step, session_log, ..Self::default() }
    }

    /// Values of a step.
    pub(super) fn summary(wall_time: f64, step: i64, value: Vec<Value>) -> Self {
        Self { wall_time, step, summary: Some(Summary { value }), ..Self::default() }
    }
}

impl Value {
    pub(super) fn scalar(tag: impl Into<String>, value: f64) -> Self {
        Self { tag: tag.into(), simple_value: Some(value as f32), ..Self::default() }
    }

    /// An RGB picture as a PNG.
    pub(super) fn png(tag: &str, [width, height]: [u32; 2], png: Vec<u8>) -> Self {
        let (width, height) = (width as i32, height as i32);
        let image = Image { height, width, colorspace: 3, encoded_image_string: png };
        Self { tag: tag.into(), image: Some(image), ..Self::default() }
    }

    /// A text in Markdown.
    pub(super) fn text(tag: &str, text: String) -> Self {
        let tensor_shape = Some(Shape { dim: vec![Dim { size: 1 }] });
        let string_val = vec![text.into_bytes()];
        let plugin_data = Some(PluginData { plugin_name: "text".into() });
        Self {
            tag: tag.into(),
            tensor: Some(Strings { dtype: DT_STRING, tensor_shape, string_val }),
            metadata: Some(Metadata { plugin_data }),
            ..Self::default()
        }
    }
}
