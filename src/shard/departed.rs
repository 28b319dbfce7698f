//! Brokers that left the cluster a moment ago: Metadata still tells where they were.
//!
//! Timeline of the second that is lost otherwise. A leader dies. librdkafka is told, in one answer, who leads now, and no address of the
//! dead one. Since 2.10 (confluentinc/librdkafka#4557) it then ends the thread of that broker first, and moves its partitions to their new
//! leaders second. The thread, as it ends, leaves the partitions that it still finds with nobody, the new leaders forgotten. Nothing looks
//! at them again before a timer does, once a second. Told of the old broker a little longer, the partitions move first, and a later
//! answer ends a thread that has none.
//!
//! To a client this is as if it had asked before the broker was fenced. Only Metadata is told so: DescribeCluster says who lives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use control::image::{ClusterImage, Delta};
use control::record::BrokerId;
use reactor::Instant;

/// Clients whose connection has ended ask within milliseconds, and again while they find no leader. With the second before a silent broker is
/// fenced it is less than the 9 s for which Kafka tells of a dead one (its `broker.session.timeout.ms`), so no client is misled for longer.
const TOLD_FOR: Duration = Duration::from_secs(5);

/// When each of them left. At most one entry per registered broker.
#[derive(Debug, Default)]
pub struct Departed {
    since: RefCell<BTreeMap<BrokerId, Instant>>,
}

impl Departed {
    /// Takes note of who was fenced between two images, for whatever reason, and who is back.
    pub fn follow(&self, now: Instant, before: &ClusterImage, after: &ClusterImage, delta: &Delta) {
        let is_live = |image: &ClusterImage, id| image.broker(id).is_some_and(|broker| !broker.fenced);
        let mut since = self.since.borrow_mut();
        for id in &delta.brokers {
            if is_live(after, *id) || after.broker(*id).is_none() {
                since.remove(id);
            } else if is_live(before, *id) {
                since.insert(*id, now);
            }
        }
    }

    pub fn is_recent(&self, now: Instant, broker: BrokerId) -> bool {
        let since = self.since.borrow();
        since
            .get(&broker)
            .is_some_and(|since| now.saturating_since(*since) < TOLD_FOR)
    }
}

#[cfg(test)]
mod tests {
    use control::record::{BrokerEpoch, Record, RegisterBrokerRecord, UnregisterBrokerRecord};

    use super::*;

    const BROKER: BrokerId = BrokerId(2);

    struct Following {
        departed: Departed,
        image: ClusterImage,
    }

    impl Following {
        fn begin() -> Following {
            Following {
                departed: Departed::default(),
                image: ClusterImage::empty("cluster"),
            }
        }

        fn apply(&mut self, now: Instant, record: impl Into<Record>) {
            let (image, delta) = self.image.apply(&[record.into()]).unwrap();
            self.departed.follow(now, &self.image, &image, &delta);
            self.image = image;
        }
    }

    fn registered(epoch: i64, fenced: bool) -> RegisterBrokerRecord {
        RegisterBrokerRecord {
            broker_id: BROKER,
            broker_epoch: BrokerEpoch(epoch),
            fenced,
            ..RegisterBrokerRecord::default()
        }
    }

    /// Breaks in production: librdkafka's producers stand still for up to a second when a broker dies, or clients are sent to brokers that
    /// have been gone for long.
    #[test]
    fn who_left_is_told_of_for_a_while() {
        let start = Instant::default();
        let mut following = Following::begin();
        following.apply(start, registered(1, true));
        assert!(!following.departed.is_recent(start, BROKER), "it was never there");
        following.apply(start, registered(2, false));
        assert!(!following.departed.is_recent(start, BROKER));
        following.apply(start, registered(3, true));
        assert!(following.departed.is_recent(start, BROKER));
        // it tries to come back, and is not trusted yet: that is no second departure
        let later = start + TOLD_FOR / 2;
        following.apply(later, registered(4, true));
        assert!(following.departed.is_recent(later, BROKER));
        assert!(!following.departed.is_recent(start + TOLD_FOR, BROKER));
    }

    /// Breaks in production: a broker that was taken out of the cluster, or is back, counts as one that has just died.
    #[test]
    fn who_is_back_or_unregistered_has_not_left() {
        let now = Instant::default();
        let mut following = Following::begin();
        following.apply(now, registered(1, false));
        following.apply(now, registered(2, true));
        following.apply(now, registered(3, false));
        assert!(!following.departed.is_recent(now, BROKER));
        following.apply(now, registered(4, true));
        let gone = UnregisterBrokerRecord {
            broker_id: BROKER,
            broker_epoch: BrokerEpoch(4),
            ..UnregisterBrokerRecord::default()
        };
        following.apply(now, gone);
        assert!(!following.departed.is_recent(now, BROKER));
    }
}
