//! The closed sets of the common model, each variant beside its word on the topics. Knows no structure.

macro_rules! words {
    ($($(#[$of_set:meta])* pub enum $set:ident { $($(#[$of_word:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$of_set])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $set { $($(#[$of_word])* $variant,)+ }

        impl $set {
            pub const ALL: &[$set] = &[$($set::$variant,)+];

            pub fn as_str(self) -> &'static str {
                match self { $($set::$variant => $word,)+ }
            }
        }
    )+};
}

words! {
    pub enum Change {
        Created = "created",
        Updated = "updated",
        Removed = "removed",
    }

    pub enum Identity {
        Contact = "contact",
        Record = "record",
    }

    pub enum EntryKind {
        Waitlist = "waitlist",
        Booking = "booking",
        Block = "block",
        Unknown = "unknown",
    }

    pub enum EntryStatus {
        Held = "held",
        Requested = "requested",
        Booked = "booked",
        Waiting = "waiting",
        Serving = "serving",
        Completed = "completed",
        Cancelled = "cancelled",
        NoShow = "no_show",
        Expired = "expired",
        Removed = "removed",
        Unknown = "unknown",
    }

    pub enum Direction {
        Outbound = "outbound",
        Inbound = "inbound",
    }

    pub enum MessageStatus {
        Pending = "pending",
        Blocked = "blocked",
        Failed = "failed",
        Delivered = "delivered",
        Unconfirmed = "unconfirmed",
        Received = "received",
        Unknown = "unknown",
    }

    pub enum Scope {
        Visit = "visit",
        Person = "person",
    }

    pub enum ErasureReason {
        Removed = "removed",
        Anonymized = "anonymized",
        Deleted = "deleted",
    }

    /// Why a delivery becomes a dead letter. Closed: `as_str` is a header's and a label's value.
    pub enum Reason {
        NotJson = "not_json",
        TooDeep = "too_deep",
        UnknownShape = "unknown_shape",
        UnknownType = "unknown_type",
        MissingId = "missing_id",
        Expired = "expired",
        TooLarge = "too_large",
        EndpointUnknown = "endpoint_unknown",
        NormalizeFailed = "normalize_failed",
    }
}
