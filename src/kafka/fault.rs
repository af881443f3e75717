//! librdkafka's errors, sorted into our few classes and causes.
//!
//! Knows no producer and no state: only what an error says of itself.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Cause, Class, Fault, Options};

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
    let cause = code_of(error).map_or(Cause::Other, cause_of);
    Fault { class: class_of(error, cause), cause, topic: None, detail: text_of(error) }
}

pub(super) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(inner) => Some(inner.code()),
        other => other.rdkafka_error_code(),
    }
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
        Code::SaslAuthenticationFailed | Code::Authentication => Cause::Credentials,
        Code::SSL => Cause::Tls,
        Code::State | Code::InvalidTransactionalState | Code::UnknownProducerId | Code::InvalidProducerIdMapping => Cause::State,
        _ => Cause::Other,
    }
}

/// Kafka tells what sort of thing is forbidden, and not which one of ours.
pub(super) fn named(fault: Fault, options: &Options) -> Fault {
    let ours = [
        ("Group", format!("Read on the group {}", options.group)),
        ("Transactional", format!("Write on the transactional id {}", options.transactional_id)),
    ];
    let right = ours.into_iter().find(|(sort, _)| fault.cause == Cause::NotAuthorized && fault.detail.contains(sort));
    match right {
        Some((_, right)) => Fault { detail: format!("{}: the right is missing to {right}", fault.detail), ..fault },
        None => fault,
    }
}

/// What librdkafka says of a connection that a broker, or we, do not want. Calls that wait for it tell only that their time is up.
pub(super) fn refusal(error: &KafkaError, said: &str) -> Option<Cause> {
    let cause = error.rdkafka_error_code().map_or(Cause::Other, cause_of);
    match cause {
        Cause::Credentials | Cause::Tls => Some(cause),
        _ if said.contains("SSL") => Some(Cause::Tls),
        _ if said.contains("SASL") => Some(Cause::Credentials),
        _ => None,
    }
}

/// The library's text, but for what it says of properties: that holds their values.
pub(super) fn text_of(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => format!("librdkafka does not take the property {key}, or not this value of it"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties::Properties;
    use super::*;

    #[test]
    fn a_missing_right_is_named_by_what_is_ours() {
        let options = Options {
            brokers: Vec::new(),
            prefix: String::new(),
            transactional_id: "t".to_owned(),
            group: "g".to_owned(),
            transaction_timeout_ms: 0,
            message_bytes_max: 0,
            properties: Properties::default(),
            topics: Vec::new(),
            create: Vec::new(),
        };
        for (code, expected) in [
            (RDKafkaErrorCode::GroupAuthorizationFailed, "Read on the group g"),
            (RDKafkaErrorCode::TransactionalIdAuthorizationFailed, "Write on the transactional id t"),
        ] {
            let fault = named(fault_of(&KafkaError::Global(code)), &options);
            assert!(fault.cause == Cause::NotAuthorized && fault.detail.ends_with(expected), "{fault:?}");
        }
        let other = fault_of(&KafkaError::Global(RDKafkaErrorCode::TopicAuthorizationFailed));
        assert_eq!(named(other.clone(), &options), other);
    }

    #[test]
    fn a_connection_that_is_refused_is_told_from_one_that_is_not_there() {
        let check = |code, said: &str, expected| assert_eq!(refusal(&KafkaError::Global(code), said), expected, "{said}");
        check(RDKafkaErrorCode::Authentication, "Authentication failed: invalid credentials", Some(Cause::Credentials));
        check(RDKafkaErrorCode::SSL, "SSL handshake failed: certificate verify failed", Some(Cause::Tls));
        let plain = "Disconnected while requesting ApiVersion: incorrect security.protocol configuration (connecting to a SSL listener?)";
        check(RDKafkaErrorCode::BrokerTransportFailure, plain, Some(Cause::Tls));
        let no_password = "Disconnected: verify that security.protocol is correctly configured, broker might require SASL authentication";
        check(RDKafkaErrorCode::BrokerTransportFailure, no_password, Some(Cause::Credentials));
        check(RDKafkaErrorCode::BrokerTransportFailure, "Connect to ipv4#127.0.0.1:1 failed: Connection refused", None);
    }
}
