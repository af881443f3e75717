/* Keeps a table of persons and one of their entries on lists, right from both vendors, in a JSON file. docs/consumers.md explains it.

     npm install
     node persons.mjs localhost:9092 waitlist.person.v1 persons.json

   It runs until it is stopped, and goes on where it was: rows and offsets are written in one file, which is replaced as a whole. */

import { open, readFile, rename } from "node:fs/promises";

import { Kafka, logLevel } from "kafkajs";

const PERSON = ["name", "first_name", "last_name", "email", "phone", "birth_date"];
const ENTRY = ["kind", "list", "status", "position", "joined_at", "starts_local"];

/** What one event changes. */
function apply({ persons, entries }, data) {
  if (data.stale || data.message) return;
  const told = new Map(data.entries.map((entry, number) => [entryKey(data, entry, number), entry]));
  const owners = new Map([...told.keys()].map((key) => [key, entries.get(key)?.person ?? null]));
  if (data.erasure) forget(persons, entries, data, told);
  if (!data.erasure || data.erasure.reason === "anonymized") {
    if (data.person) putPerson(persons, data);
    if (data.entries_complete) deleteEntriesOf(entries, data.person.key);
    for (const [key, entry] of told) putEntry(entries, data, key, entry, owners);
  }
  dropContactsWithoutEntries(persons, entries, data, owners);
}

/** Deletes what was told. A visit's key stays with its version, so that an older event does not bring it back. */
function forget(persons, entries, data, told) {
  if (data.erasure.scope === "person") {
    persons.delete(data.person.key);
    deleteEntriesOf(entries, data.person.key);
  } else {
    for (const key of told.keys()) put(entries, data, key, { person: null });
  }
}

/** A null overwrites only where the event tells all that the vendor knows. */
function putPerson(persons, data) {
  const { key, identity, complete, anonymized } = data.person;
  const kept = complete || anonymized ? {} : (persons.get(key) ?? {});
  const values = PERSON.map((column) => [column, data.person[column] ?? kept[column] ?? null]);
  put(persons, data, key, { identity, ...Object.fromEntries(values) });
}

/** An event that names nobody leaves the entry to the person who has it. */
function putEntry(entries, data, key, entry, owners) {
  const values = ENTRY.map((column) => [column, entry[column]]);
  put(entries, data, key, { person: data.person?.key ?? owners.get(key), ...Object.fromEntries(values) });
}

/** Unless what is there is newer. `stale` tells of one subject and as waitbridge saw it; two visits of one person are two
    subjects, and a visit that moves to another person moves to another partition, whose events we may read earlier or later. */
function put(table, { version }, key, values) {
  const known = table.get(key);
  if (!known || version >= known.version) table.set(key, { version, ...values });
}

/** A contact is what its visits tell, and nothing without them. A record of a person needs none. */
function dropContactsWithoutEntries(persons, entries, data, owners) {
  for (const person of [data.person?.key, ...owners.values()]) {
    const has = [...entries.values()].some((entry) => entry.person === person);
    if (!has && persons.get(person)?.identity === "contact") persons.delete(person);
  }
}

function deleteEntriesOf(entries, person) {
  for (const [key, entry] of entries) if (entry.person === person) entries.delete(key);
}

/** Waitwhile's entries have ids. WaitlistPlus's have none, but come all at once: their place among them will do. */
function entryKey(data, entry, number) {
  return entry.id ? `${data.vendor}/${data.tenant}/visit/${entry.id}` : `${data.person.key}/${number}`;
}

async function load(file) {
  const text = await readFile(file, "utf8").catch((error) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  const { offsets = {}, persons = {}, entries = {} } = JSON.parse(text);
  return { offsets, persons: new Map(Object.entries(persons)), entries: new Map(Object.entries(entries)) };
}

/** All of it or nothing, whenever the power fails. */
async function save(file, { offsets, persons, entries }) {
  const tables = { offsets, persons: Object.fromEntries(persons), entries: Object.fromEntries(entries) };
  const written = await open(`${file}.new`, "w");
  await written.writeFile(JSON.stringify(tables));
  await written.sync();
  await written.close();
  await rename(`${file}.new`, file);
}

/** A batch that comes again, after the group was formed anew, is passed over. */
async function take(file, tables, { partition, messages }) {
  const fresh = messages.filter(({ offset }) => BigInt(offset) >= BigInt(tables.offsets[partition] ?? 0));
  if (fresh.length === 0) return;
  for (const { value } of fresh) apply(tables, JSON.parse(value));
  tables.offsets[partition] = String(BigInt(fresh.at(-1).offset) + 1n);
  await save(file, tables);
}

/** What we have not read is gone from the topic: say so, do not skip it. */
async function checkNothingIsGone(kafka, topic, { offsets }) {
  const admin = kafka.admin();
  await admin.connect();
  for (const { partition, low } of await admin.fetchTopicOffsets(topic)) {
    if (BigInt(low) > BigInt(offsets[partition] ?? low)) throw new Error(`partition ${partition} begins at ${low} now: begin anew`);
  }
  await admin.disconnect();
}

const [bootstrap, topic, file, groupId = "persons"] = process.argv.slice(2);
const tables = await load(file);
const kafka = new Kafka({ brokers: bootstrap.split(","), clientId: "persons", logLevel: logLevel.WARN });
await checkNothingIsGone(kafka, topic, tables);
const consumer = kafka.consumer({ groupId, readUncommitted: false, sessionTimeout: 6_000 });
consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || process.exit(1));
consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
  for (const partition of payload.memberAssignment[topic] ?? []) {
    if (partition in tables.offsets) consumer.seek({ topic, partition, offset: tables.offsets[partition] });
  }
});
process.on("SIGTERM", () => consumer.disconnect().then(() => process.exit(0)));
await consumer.connect();
await consumer.subscribe({ topics: [topic], fromBeginning: true });
// Nothing is committed to the group: the offsets stand beside the rows.
await consumer.run({ autoCommit: false, eachBatch: ({ batch }) => take(file, tables, batch) });
