//! The words of the tables.

/// A request: what is on the wire at which version.
#[derive(Debug)]
pub struct Api {
    pub key: i16,
    /// Kafka's name without `Request`.
    pub name: &'static str,
    pub version_min: i16,
    pub version_max: i16,
    /// The first version with compact encodings and tagged fields.
    pub flexible_since: i16,
    pub fields: &'static [Field],
}

impl Api {
    pub const fn serves(&self, version: i16) -> bool {
        self.version_min <= version && version <= self.version_max
    }

    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_since
    }
}

/// `flexible_since` of an API without flexible versions.
pub(super) const NEVER: i16 = i16::MAX;

/// One field: kind and the versions it exists in.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub since: i16,
    pub until: i16,
    /// The first version in which it may be null.
    pub null_since: i16,
    /// Set for fields of the tagged section.
    pub tag: Option<u32>,
}

/// What a field looks like on the wire.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    I8,
    I16,
    I32,
    I64,
    Uuid,
    String,
    /// Bytes or records.
    Bytes,
    /// One struct; when it may be null an i8 says so (negative = null).
    Struct(&'static [Field]),
    Strings,
    I8s,
    I32s,
    Structs(&'static [Field]),
}

pub(super) const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        since: 0,
        until: i16::MAX,
        null_since: i16::MAX,
        tag: None,
    }
}

impl Field {
    pub(super) const fn since(mut self, version: i16) -> Field {
        self.since = version;
        self
    }

    pub(super) const fn until(mut self, version: i16) -> Field {
        self.until = version;
        self
    }

    pub(super) const fn null(self) -> Field {
        self.null_since(0)
    }

    pub(super) const fn null_since(mut self, version: i16) -> Field {
        self.null_since = version;
        self
    }

    pub(super) const fn tagged(mut self, tag: u32) -> Field {
        self.tag = Some(tag);
        self
    }

    pub(super) const fn is_in(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }

    pub(super) const fn is_nullable(&self, version: i16) -> bool {
        self.null_since <= version
    }
}
