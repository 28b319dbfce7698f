//! What is measured: the rows of the "must show" table.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    Produce,
    Batches,
    Journal,
    Small,
    Latency,
    Consume,
    Cold,
    Neighbour,
    Partitions,
    Restart,
    Idle,
    Start,
    Ceiling,
}

impl Row {
    pub const ALL: [Row; 13] = [
        Row::Produce,
        Row::Batches,
        Row::Journal,
        Row::Small,
        Row::Latency,
        Row::Consume,
        Row::Cold,
        Row::Neighbour,
        Row::Partitions,
        Row::Restart,
        Row::Idle,
        Row::Start,
        Row::Ceiling,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Row::Produce => "produce",
            Row::Batches => "batches",
            Row::Journal => "journal",
            Row::Small => "small",
            Row::Latency => "latency",
            Row::Consume => "consume",
            Row::Cold => "cold",
            Row::Neighbour => "neighbour",
            Row::Partitions => "partitions",
            Row::Restart => "restart",
            Row::Idle => "idle",
            Row::Start => "start",
            Row::Ceiling => "ceiling",
        }
    }

    pub fn named(name: &str) -> Option<Row> {
        Row::ALL.into_iter().find(|row| row.name() == name)
    }
}
