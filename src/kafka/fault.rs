//! librdkafka's errors, sorted into our few classes and causes.
//!
//! Knows no producer and no state: only what an error says of itself.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Cause, Class, Fault};

/// A record that was refused, at once or by its broker: the transaction could still be committed without it,
/// which must never happen.
pub(super) fn refused(error: &KafkaError) -> Fault {
    Fault { class: Class::Abortable, ..fault_of(error) }
}

pub(super) fn abortable(cause: Cause, detail: &str) -> Fault {
    Fault { class: Class::Abortable, cause, topic: None, detail: detail.to_owned() }
}

pub(super) fn fatal(cause: Cause, detail: &str) -> Fault {
    Fault { class: Class::Fatal, cause, topic: None, detail: detail.to_owned() }
}

/// Sorts librdkafka's errors into our four classes.
pub(super) fn fault_of(error: &KafkaError) -> Fault {
    let code = match error {
        KafkaError::Transaction(inner) => Some(inner.code()),
        other => other.rdkafka_error_code(),
    };
    let cause = code.map_or(Cause::Other, cause_of);
    Fault { class: class_of(error, cause), cause, topic: None, detail: text_of(error) }
}

fn class_of(error: &KafkaError, cause: Cause) -> Class {
    match error {
        _ if cause == Cause::Fenced => Class::Fenced,
        KafkaError::Transaction(inner) if inner.is_fatal() => Class::Fatal,
        KafkaError::Transaction(inner) if inner.txn_requires_abort() => Class::Abortable,
        KafkaError::Transaction(inner) if inner.is_retriable() => Class::Retriable,
        // The commit ran out of time while flushing: `begin` would now say Conflict, only commit again helps.
        KafkaError::Flush(_) => Class::Retriable,
        KafkaError::OffsetFetch(_) | KafkaError::MetadataFetch(_) | KafkaError::AdminOp(_) => Class::Retriable,
        // None of the three flags: a state that we misread. A new producer knows better.
        _ => Class::Fatal,
    }
}

fn cause_of(code: RDKafkaErrorCode) -> Cause {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => Cause::UnknownTopic,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::ClusterAuthorizationFailed => Cause::NotAuthorized,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Cause::TooLarge,
        Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => Cause::TimedOut,
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::NetworkException | Code::Resolve => Cause::Unreachable,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Cause::Fenced,
        Code::SaslAuthenticationFailed | Code::Authentication | Code::SSL => Cause::Credentials,
        Code::State | Code::InvalidTransactionalState | Code::UnknownProducerId | Code::InvalidProducerIdMapping => Cause::State,
        _ => Cause::Other,
    }
}

/// The library's text, but for what it says of properties: that holds their values.
pub(super) fn text_of(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => format!("librdkafka does not take the property {key}, or not this value of it"),
        other => other.to_string(),
    }
}
