"""Parses records, as `kcat -J` prints them, by the Kafka binding of the official CloudEvents SDK.

Reads a JSON object a line, prints a JSON object a line: the event's attributes, and its data. Binary or structured mode
is told by the SDK. Fails with its traceback at the first record that the SDK refuses.
"""

import json
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event


def message(record):
    names, values = record["headers"][::2], record["headers"][1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"a header is there twice: {names}")
    return KafkaMessage(
        headers={name: value.encode() for name, value in zip(names, values)},
        key=record["key"],
        value=record["payload"].encode(),
    )


def plain(value):
    """Attributes are text, but for `time`, which the SDK parses."""
    return value if isinstance(value, str) else value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


for line in sys.stdin:
    event = from_kafka_event(message(json.loads(line)))
    attributes = {name: plain(value) for name, value in event.get_attributes().items()}
    print(json.dumps({**attributes, "data": event.get_data()}))
