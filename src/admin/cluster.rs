//! The cluster as this broker knows it, and what its control thread does for it.

use control::image::ClusterImage;
use control::record::BrokerId;

use crate::metrics::Snapshot;
use crate::shard::Shard;

pub fn collect(shard: &Shard) -> Snapshot {
    let mut out = Snapshot::default();
    let image = shard.image();
    image_figures(&image, shard.node.id, &mut out);
    let control = &shard.node.control;
    out.gauge(
        "active_controller",
        "1 while this broker is the active controller.",
        &[],
        f64::from(u8::from(control.leading().is_some())),
    );
    out.counter(
        "metadata_appends",
        "Batches that this broker, as the controller, has appended to the metadata log: writes to the store.",
        &[],
        control.appends(),
    );
    out.counter(
        "metadata_records",
        "Records in these batches.",
        &[],
        control.records(),
    );
    out.counter(
        "metadata_append_bytes",
        "Bytes of these records.",
        &[],
        control.bytes(),
    );
    out.gauge(
        "broker_session_live",
        "1 while the controller has promised not to give this broker's partitions to another one.",
        &[],
        f64::from(u8::from(shard.node.session.is_live(reactor::now()))),
    );
    out
}

fn image_figures(image: &ClusterImage, own: BrokerId, out: &mut Snapshot) {
    let position = image.position().offset;
    out.gauge(
        "metadata_offset",
        "Last offset of the metadata log that this broker works with.",
        &[],
        position.0 as f64,
    );
    let fenced = image.brokers().values().filter(|broker| broker.fenced).count();
    out.gauge(
        "brokers",
        "Brokers of the cluster, fenced ones included.",
        &[],
        image.brokers().len() as f64,
    );
    out.gauge(
        "brokers_fenced",
        "Brokers that are registered, but down or not caught up.",
        &[],
        fenced as f64,
    );
    out.gauge(
        "offline_partitions",
        "Partitions of the cluster that nobody leads.",
        &[],
        image.leaderless_partitions().count() as f64,
    );
    let under_replicated = image.partitions_of(own).filter(|(_, _, partition)| {
        partition.leader == Some(own) && partition.isr.len() < partition.replicas.len()
    });
    out.gauge(
        "under_replicated_partitions",
        "Partitions led by this broker of which a replica is not in sync.",
        &[],
        under_replicated.count() as f64,
    );
}
