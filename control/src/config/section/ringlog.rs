//! What Kafka has no property for.

use crate::config::property::{Owner, Section, boolean, int, long, password, string};

pub(super) const SECTION: Section = Section {
    title: "ringlog",
    intro: "What Kafka has no property for.",
    owner: Owner::Broker,
    rows: &[
        string("ringlog.cores")
            .default("auto")
            .cores()
            .high()
            .flag("--cores")
            .doc(
                "Cores that each get one pinned thread with its share of connections and partitions; \
                 auto: all that the process may use.",
            ),
        string("ringlog.admin.listener")
            .default("127.0.0.1:9644")
            .endpoint_or_none()
            .high()
            .flag("--admin")
            .doc("Address of /metrics, /health and /ready; none: not served. It has no authentication."),
        string("ringlog.store")
            .default("embedded")
            .store_url()
            .high()
            .flag("--store")
            .doc(
                "Where cluster metadata lives; one store for the life of a cluster. embedded: in a log of its own in the \
                 first of log.dirs, for a cluster of one broker. etcd://HOST:PORT,HOST:PORT or \
                 zookeeper://HOST:PORT,HOST:PORT: in that store. quorum://ID@HOST:PORT,ID@HOST:PORT: in the brokers' own \
                 Raft quorum, whose voters these are.",
            ),
        string("ringlog.store.prefix")
            .default("/ringlog")
            .doc("Before every key in etcd or ZooKeeper: clusters that share a store have different ones."),
        int("ringlog.store.lease.ms")
            .default("10000")
            .between(2_000, 600_000)
            .ms()
            .doc(
                "How long etcd or ZooKeeper keeps the registration of a broker that is not heard of. Whether a broker is \
                 alive is judged by broker.session.timeout.ms.",
            ),
        string("ringlog.etcd.ca.file").doc(
            "Certificates (PEM) of those who may sign etcd's certificate. Set: etcd is spoken to over TLS only.",
        ),
        string("ringlog.etcd.certificate.file")
            .doc("This broker's certificate (PEM) for etcd, where etcd asks for one; with ringlog.etcd.key.file."),
        string("ringlog.etcd.key.file").doc("The key (PEM) of ringlog.etcd.certificate.file."),
        string("ringlog.etcd.user").doc("Name of etcd's user, where etcd has users; with ringlog.etcd.password."),
        password("ringlog.etcd.password").doc("Password of ringlog.etcd.user."),
        string("ringlog.zookeeper.user").doc(
            "Name of ZooKeeper's scheme digest; with ringlog.zookeeper.password. Set: what the brokers write there can be \
             read and changed under this name only, so it is set from a cluster's first start on or never.",
        ),
        password("ringlog.zookeeper.password").doc("Password of ringlog.zookeeper.user."),
        string("ringlog.control.listener")
            .default("none")
            .endpoint_or_none()
            .doc(
                "HOST:PORT at which the brokers of a cluster reach each other's control threads; none: any port of \
                 the first listener's interface. A quorum listens at its voters' addresses instead.",
            ),
        boolean("ringlog.watchdog.enable").default("true").doc(
            "Whether a broker of a cluster starts a second process, which closes its clients' connections while the broker is stopped \
             (SIGSTOP, a debugger) for longer than broker.session.timeout.ms, so that they turn to the new leaders at once, not after \
             their own request timeouts.",
        ),
        string("ringlog.io.backend")
            .default("auto")
            .one_of(&["auto", "io_uring", "epoll"])
            .doc(
                "How sockets and files are driven; auto: io_uring where the kernel and the container \
                 allow it, otherwise epoll.",
            ),
        // Guess to be measured: one request of the default socket.request.max.bytes fits, with room for
        // smaller ones.
        long("ringlog.memory.request.bytes")
            .default("134217728")
            .at_least(1_048_576)
            .bytes()
            .doc(
                "Memory per core for requests that are being received or answered. Reading stops \
                 while it is used up. At least socket.request.max.bytes, or the largest request would \
                 never be read.",
            ),
        // Guess to be measured: clients pipeline 5 by default; 64 leaves room for impatient ones.
        int("ringlog.connection.max.inflight")
            .default("64")
            .between(1, 100_000)
            .doc(
                "Requests of one connection that may be unanswered; further ones are not read until \
                 answers have been sent.",
            ),
        // Guess to be measured: 10,000 connections that do not read hold memory, not file ranges, only up to
        // this.
        long("ringlog.connection.max.unanswered.bytes")
            .default("16777216")
            .at_least(1)
            .bytes()
            .doc(
                "Bytes of answers that one connection may leave unread; beyond it no request of the \
                 connection is read. A single answer may be larger.",
            ),
        long("ringlog.scrub.interval.ms").default("604800000").ms().doc(
            "How often every closed segment is read to see whether its batches are still what was \
                 written. Bad ranges are quarantined: reads of them fail, the rest of the log stays \
                 readable. 0 or less: never.",
        ),
        // Guess to be measured: a tenth of a slow disk; 10 TB take 12 days.
        long("ringlog.scrub.bytes.per.second")
            .default("10485760")
            .at_least(1)
            .bytes()
            .doc(
                "Largest rate at which segments are read for that; cores share it evenly. It is done at \
                 idle I/O priority.",
            ),
        long("ringlog.max.decompressed.batch.bytes")
            .default("16777216")
            .between(1, 2_147_483_639)
            .bytes()
            .doc(
                "Largest size of a record batch after decompression; a produced batch that unpacks to \
                 more is refused. It is also how long one batch can keep a core busy. A topic whose \
                 max.message.bytes is larger than a quarter of it may unpack to four times that.",
            ),
        string("ringlog.durability")
            .default("journal")
            .one_of(&["journal", "page-cache"])
            .high()
            .cluster_wide()
            .doc(
                "What an acknowledged record outlives. journal: the loss of power; page-cache: only the \
                 end of the process, as with Kafka, where log.flush.interval.messages and \
                 log.flush.interval.ms bound the loss.",
            ),
        long("ringlog.journal.file.bytes")
            .default("33554432")
            .between(1_048_576, 1_073_741_824)
            .bytes()
            .doc(
                "Size of a journal file, rounded down to a multiple of 4096. Each core has a journal of its own in each \
                 of log.dirs.",
            ),
        int("ringlog.journal.file.count")
            .default("8")
            .between(2, 1024)
            .doc(
                "Files of a journal. More: segments are synced less often, and a start after a crash reads \
                 more.",
            ),
        int("ringlog.journal.inflight.writes")
            .default("4")
            .between(1, 256)
            .doc("Journal writes of one core that may be on their way to the disk at a time."),
        // Guess to be measured: a log that is opened again costs about a millisecond.
        long("ringlog.log.idle.ms")
            .default("300000")
            .at_least(1)
            .ms()
            .doc(
                "Time without use after which a partition's log is closed, so that it holds neither memory \
                 nor descriptors. It is opened again when it is used.",
            ),
    ],
};
