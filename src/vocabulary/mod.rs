//! Properties, value domains, values and actions: the words shared by capabilities, configuration,
//! grammar, prompts and replies. Knows no devices and no topics.

pub mod action;
pub mod condition;
mod domain;
mod form_table;
pub mod properties;
pub mod shared_str;
pub mod slug;
pub mod speech;
mod text_visitor;
pub mod timing;
pub mod topic;
mod value;

pub use crate::vocabulary::domain::Domain;
pub use crate::vocabulary::properties::Property;
pub use crate::vocabulary::value::Value;
