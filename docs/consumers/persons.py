"""Keeps a table of persons and one of their entries on lists, right from both vendors, in SQLite. docs/consumers.md explains it.

    pip install -r requirements.txt
    python persons.py localhost:9092 waitlist.person.v1 persons.db

It runs until it is stopped, and goes on where it was: rows and offsets are written in one transaction.
"""

import json
import signal
import sqlite3
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

TABLES = """
CREATE TABLE IF NOT EXISTS offsets (topic, partition, next, PRIMARY KEY (topic, partition));
CREATE TABLE IF NOT EXISTS persons (key PRIMARY KEY, version, identity, name, first_name, last_name, email, phone, birth_date);
CREATE TABLE IF NOT EXISTS entries (key PRIMARY KEY, version, person, kind, list, status, position, joined_at, starts_local);
CREATE INDEX IF NOT EXISTS entries_of_person ON entries (person);
"""
PERSON = ["name", "first_name", "last_name", "email", "phone", "birth_date"]
ENTRY = ["kind", "list", "status", "position", "joined_at", "starts_local"]


def apply(db, data):
    """What one event changes."""
    if data["stale"] or data["message"]:
        return
    told = {entry_key(data, entry, number): entry for number, entry in enumerate(data["entries"])}
    owners = {key: owner(db, key) for key in told}
    if data["erasure"]:
        forget(db, data, told)
    if not data["erasure"] or data["erasure"]["reason"] == "anonymized":
        if data["person"]:
            put_person(db, data)
        if data["entries_complete"]:
            db.execute("DELETE FROM entries WHERE person = ?", [data["person"]["key"]])
        for key, entry in told.items():
            put_entry(db, data, key, entry, owners)
    drop_contacts_without_entries(db, data, owners)


def forget(db, data, told):
    """Deletes what was told. A visit's key stays with its version, so that an older event does not bring it back."""
    if data["erasure"]["scope"] == "person":
        db.execute("DELETE FROM persons WHERE key = ?", [data["person"]["key"]])
        db.execute("DELETE FROM entries WHERE person = ?", [data["person"]["key"]])
    else:
        for key in told:
            put(db, "entries", {"key": key, "version": data["version"], "person": None, **dict.fromkeys(ENTRY)})


def put_person(db, data):
    """A null overwrites only where the event tells all that the vendor knows."""
    person = data["person"]
    values = {column: person[column] for column in PERSON}
    if not (person["complete"] or person["anonymized"]):
        values = {column: value for column, value in values.items() if value is not None}
    put(db, "persons", {"key": person["key"], "version": data["version"], "identity": person["identity"], **values})


def put_entry(db, data, key, entry, owners):
    """An event that names nobody leaves the entry to the person who has it."""
    person = data["person"]["key"] if data["person"] else owners[key]
    put(db, "entries", {"key": key, "version": data["version"], "person": person, **{column: entry[column] for column in ENTRY}})


def put(db, table, values):
    """Unless what is there is newer. `stale` tells of one subject and as waitbridge saw it; two visits of one person are two
    subjects, and a visit that moves to another person moves to another partition, whose events we may read earlier or later."""
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    news = ", ".join(f"{column} = excluded.{column}" for column in values)
    db.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({marks})"
        f" ON CONFLICT (key) DO UPDATE SET {news} WHERE excluded.version >= {table}.version",
        list(values.values()),
    )


def drop_contacts_without_entries(db, data, owners):
    """A contact is what its visits tell, and nothing without them. A record of a person needs none."""
    for person in [data["person"] and data["person"]["key"], *owners.values()]:
        db.execute(
            "DELETE FROM persons WHERE key = ? AND identity = 'contact'"
            " AND NOT EXISTS (SELECT 1 FROM entries WHERE person = persons.key)",
            [person],
        )


def owner(db, key):
    """Whose the entry is before this event."""
    found = db.execute("SELECT person FROM entries WHERE key = ?", [key]).fetchone()
    return found and found[0]


def entry_key(data, entry, number):
    """Waitwhile's entries have ids. WaitlistPlus's have none, but come all at once: their place among them will do."""
    return f"{data['vendor']}/{data['tenant']}/visit/{entry['id']}" if entry["id"] else f"{data['person']['key']}/{number}"


def open_tables(file):
    db = sqlite3.connect(file)
    db.executescript(TABLES)
    return db


def open_consumer(bootstrap, topic, db):
    """One process reads all partitions, each from where its rows end."""
    settings = {
        "bootstrap.servers": bootstrap,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,  # the offsets stand beside the rows
        "auto.offset.reset": "error",  # what we have not read is gone from the topic: say so, do not skip it
        "group.id": "persons",  # the library wants one; nobody joins it
    }
    consumer = Consumer(settings)
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    known = dict(db.execute("SELECT partition, next FROM offsets WHERE topic = ?", [topic]).fetchall())
    consumer.assign([TopicPartition(topic, partition, known.get(partition, OFFSET_BEGINNING)) for partition in partitions])
    return consumer


def take(db, message):
    if message.error():
        raise KafkaException(message.error())
    apply(db, json.loads(message.value()))
    db.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", [message.topic(), message.partition(), message.offset() + 1])


def main(bootstrap, topic, file):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    db = open_tables(file)
    consumer = open_consumer(bootstrap, topic, db)
    while True:
        messages = consumer.consume(500, timeout=1.0)
        with db:  # one transaction: all of them, or none
            for message in messages:
                take(db, message)


if __name__ == "__main__":
    main(*sys.argv[1:])
