"""Changes users and rights of the Kafka named by the first argument, as lines on standard input say:

    scram USER PASSWORD
    grant|revoke PRINCIPAL OPERATION RESOURCE PATTERN NAME

Each is done once it is known to have an effect on the broker.
"""

import re
import sys

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}

admin = AdminClient({"bootstrap.servers": sys.argv[1]})


def scram(user, password):
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    wanted = UserScramCredentialUpsertion(user, info, password.encode())
    return admin.alter_user_scram_credentials([wanted])[user].result()


def right(kind, principal, operation, resource, pattern, name):
    """A binding, or the filter for the same."""
    operation = AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()]
    pattern = ResourcePatternType[pattern.upper()]
    return kind(RESOURCES[resource], name, pattern, principal, "*", operation, AclPermissionType.ALLOW)


for line in sys.stdin.read().splitlines():
    verb, rest = line.split(" ", 1)
    if verb == "scram":
        scram(*rest.split(" ", 1))
        continue
    words = rest.split(" ")
    wanted = right(AclBindingFilter, *words)
    if verb == "grant":
        binding = right(AclBinding, *words)
        admin.create_acls([binding])[binding].result()
    else:
        admin.delete_acls([wanted])[wanted].result()
    is_there = verb == "grant"
    while bool(admin.describe_acls(wanted).result()) != is_there:
        pass
