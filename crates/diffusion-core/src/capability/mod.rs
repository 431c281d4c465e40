//! What some networks can do beyond answering. A method that needs a capability says so in its signature.

mod attention;
mod features;
mod log_var;
mod part;
mod two_time;

pub use attention::{AttentionKind, AttentionMap, AttentionSite, AttentionTap, AttentionTaps};
pub use features::{FeatureSite, FeatureTap, FeatureTaps};
pub use log_var::LogVar;
pub use part::Part;
pub use two_time::TwoTime;
