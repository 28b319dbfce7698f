//! Where what lies.

use engine::types::Offset;

use crate::record::BrokerId;
use crate::store::kv::KeyRange;

/// Under a prefix without a `/` at its end.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Keys {
        Keys {
            prefix: prefix.trim_end_matches('/').to_owned(),
        }
    }

    pub(super) fn all(&self) -> KeyRange {
        KeyRange::folder(&self.prefix)
    }

    pub(super) fn cluster_id(&self) -> String {
        format!("{}/cluster_id", self.prefix)
    }

    pub(super) fn broker(&self, id: BrokerId) -> String {
        format!("{}/brokers/ids/{}", self.prefix, id.0)
    }

    pub(super) fn controller(&self) -> String {
        format!("{}/controller", self.prefix)
    }

    pub(super) fn controller_epoch(&self) -> String {
        format!("{}/controller_epoch", self.prefix)
    }

    pub(super) fn log_head(&self) -> String {
        format!("{}/log_head", self.prefix)
    }

    pub(super) fn entry(&self, base: Offset) -> String {
        format!("{}/log/{:020}", self.prefix, base.0)
    }

    /// Entries that begin at `from` or later, and before `to`.
    pub(super) fn entries(&self, from: Offset, to: Offset) -> KeyRange {
        KeyRange {
            from: self.entry(from),
            to: self.entry(to),
        }
    }

    /// The offset in an entry's key.
    pub(super) fn entry_offset(&self, key: &str) -> Option<Offset> {
        let digits = key.strip_prefix(&self.prefix)?.strip_prefix("/log/")?;
        let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_ours.then(|| digits.parse().ok()).flatten().map(Offset)
    }

    pub(super) fn snapshot_head(&self) -> String {
        format!("{}/snap_head", self.prefix)
    }

    pub(super) fn snapshots(&self) -> KeyRange {
        KeyRange::folder(&format!("{}/snap/", self.prefix))
    }

    pub(super) fn chunk(&self, name: &str, number: usize) -> String {
        format!("{}/snap/{name}-{number:06}", self.prefix)
    }

    /// The chunks of one snapshot.
    pub(super) fn chunks(&self, name: &str) -> KeyRange {
        KeyRange {
            from: format!("{}/snap/{name}-", self.prefix),
            to: format!("{}/snap/{name}.", self.prefix),
        }
    }

    /// What a member follows: `controller`, `controller_epoch` and the entries lie next to each other, `log_head` and the snapshots outside.
    pub(super) fn followed(&self) -> KeyRange {
        KeyRange {
            from: self.controller(),
            to: self.log_head(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_watch_sees_controller_and_log_and_no_snapshot() {
        // Every member would otherwise receive every snapshot that anybody writes.
        let keys = Keys::new("/ringlog");
        let followed = keys.followed();
        for key in [
            keys.controller(),
            keys.controller_epoch(),
            keys.entry(Offset(0)),
            keys.entry(Offset(i64::MAX)),
        ] {
            assert!(followed.contains(&key), "{key}");
        }
        for key in [
            keys.cluster_id(),
            keys.broker(BrokerId(1)),
            keys.log_head(),
            keys.chunk("x", 1),
            keys.snapshot_head(),
        ] {
            assert!(!followed.contains(&key), "{key}");
        }
    }

    #[test]
    fn entries_lie_in_the_order_of_their_offsets() {
        let keys = Keys::new("/ringlog/");
        assert!(keys.entry(Offset(9)) < keys.entry(Offset(10)));
        assert_eq!(keys.entry_offset(&keys.entry(Offset(123))), Some(Offset(123)));
        assert_eq!(keys.entry_offset("/ringlog/log/7"), None);
        assert!(keys.chunks("a").contains(&keys.chunk("a", 3)));
        assert!(!keys.chunks("a").contains(&keys.chunk("ab", 3)));
    }
}
