//! The metadata log on a store that all members share: etcd, ZooKeeper, or the one of the simulation ([`super::kv`]).
//!
//! ```text
//! PREFIX/cluster_id            the cluster's id, written by its first member
//! PREFIX/brokers/ids/N         lease   member N: incarnation, endpoint, log directories
//! PREFIX/controller            lease   who decides: id, epoch, endpoint
//! PREFIX/controller_epoch              the last epochs: who, from which offset on. Every append checks its version: the fence
//! PREFIX/log/OFFSET                    one record batch, by the offset of its first record (20 digits)
//! PREFIX/log_head                      the log's id, the next offset; each append changes it
//! PREFIX/snap_head                     which snapshot counts, and where the log begins
//! PREFIX/snap/NAME-CHUNK               a snapshot's bytes in pieces
//! ```
//! Values but log entries and chunks are text, one `name=value` a line, after a line with the version of the layout.
//!
//! **An append** is one transaction: `controller_epoch` is as it was when this controller began, `log_head` is as its last append left
//! it; then a new entry and the next head. So two controllers cannot interleave, and one that was deposed cannot write, whatever it
//! believes and however late its request arrives. The fence is the persistent key, not the leased one: a store that revokes all leases at once
//! deposes nobody, and ZooKeeper numbers the versions of a key from 0 when it is made again.
//!
//! **Doubt** ends so: a transaction without an answer is sent again until there is one. It can happen only once, as it changes the version
//! of `log_head` that it expects; when it is refused, `controller_epoch` tells whether it happened: if nobody led since, only we can have moved
//! the head; if somebody did, its first offset lies past what we wrote, or at it.
//!
//! **Taking over** writes the new epoch, the leader change as the log's next entry, and `controller` in one transaction, so that who sees the
//! new controller sees the end of its predecessor's log, too.

mod entry;
mod follow;
mod keys;
mod log;
mod open;
mod position;
mod registration;
mod snapshot;
mod value;
mod write;

pub use log::StoreMetaLog;
pub use open::SharedConfig;
pub use position::Position;
pub(super) use position::recorded_store;
pub use value::ValueError;
