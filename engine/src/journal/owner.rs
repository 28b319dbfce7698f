//! Whose records an entry of the journal is.

use crate::log::OpenState;

/// A partition that replay may find entries of.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Name of the topic: entries know its id only.
    pub topic: String,
    /// How the last run left it, as the checkpoint files tell.
    pub state: OpenState,
    /// Its offsets may have holes.
    pub is_compacted: bool,
}
