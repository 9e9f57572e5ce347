"""The rules as text, in the syntax and order of ``nft -s list ruleset``: tables, named objects, sets, chains."""

from collections.abc import Iterator

from . import sets, statements
from .actions import limit, quota
from .values import Chain, Code, Family, Flowtable, Hook, Object, Ruleset, SetFlag, Table, comment_in

HOOKS = {0: "prerouting", 1: "input", 2: "forward", 3: "output", 4: "postrouting", 5: "ingress"}
NETDEV_HOOKS = {0: "ingress", 1: "egress"}
ARP_HOOKS = {0: "input", 1: "output"}
PREROUTING, POSTROUTING = 0, 4
PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
BRIDGE_PRIORITIES = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}
ONLY_AT = {"dstnat": PREROUTING, "srcnat": POSTROUTING}
NEAR = 10  # a priority this near to a named one is written with its name
DORMANT, OWNER = 1, 2


def text(ruleset: Ruleset) -> str:
    """All tables; empty if there are none."""
    return "".join(f"{line}\n" for table in ruleset.tables for line in _table(table))


def _table(table: Table) -> Iterator[str]:
    yield f"table {Family(table.family).name.lower()} {table.name} {{"
    if table.flags & DORMANT:
        yield "\tflags dormant"
    if comment := comment_in(table.userdata):
        yield f'\tcomment "{comment}"'
    blocks = [
        *(_object(each) for each in table.objects),
        *(
            sets.block(each, lambda kept: statements.statements(kept, table))
            for each in table.sets
            if not each.flags & SetFlag.ANONYMOUS
        ),
        *(_flowtable(each) for each in table.flowtables),
        *(_chain(each, table) for each in table.chains),
    ]
    for place, block in enumerate(blocks):
        if place or table.flags & DORMANT:
            yield ""
        yield from (f"\t{line}" for line in block)
    yield "}"


def _object(found: Object) -> list[str]:
    kind = sets.OBJECTS.get(found.kind, f"object{found.kind}")
    comment = comment_in(found.userdata)
    lines = [f'\tcomment "{comment}"' if comment else "", f"\t{_content(found).removeprefix(f'{kind} ')}"]
    return [f"{kind} {found.name} {{", *(line for line in lines if line.strip()), "}"]


def _content(found: Object) -> str:
    match found.kind:
        case 1:  # a counter; what it counted is not part of the rules
            return ""
        case 2:
            return quota(found.content)
        case 4:
            return limit(found.content)
    return f"0x{found.content.raw.hex()}"


def _flowtable(found: Flowtable) -> list[str]:
    devices = ", ".join(f'"{name}"' for name in sorted(found.devices))
    priority = _priority(found.priority, PRIORITIES, -1)
    lines = [f"\thook ingress priority {priority}", f"\tdevices = {{ {devices} }}" if devices else ""]
    return [f"flowtable {found.name} {{", *filter(None, lines), "}"]


def _chain(chain: Chain, table: Table) -> list[str]:
    lines = [f"chain {chain.name} {{"]
    if comment := comment_in(chain.userdata):
        lines.append(f'\tcomment "{comment}"')
    if chain.hook:
        lines.append(f"\t{_hook(chain.hook, table)}")
    lines += [f"\t{statements.rule(rule, table)}" for rule in chain.rules]
    return [*lines, "}"]


def _hook(hook: Hook, table: Table) -> str:
    names = {Family.NETDEV: NETDEV_HOOKS, Family.ARP: ARP_HOOKS}.get(Family(table.family), HOOKS)
    device = f' device "{hook.devices[0]}"' if len(hook.devices) == 1 else ""
    if len(hook.devices) > 1:
        device = " devices = { " + ", ".join(f'"{name}"' for name in hook.devices) + " }"
    known = BRIDGE_PRIORITIES if table.family == Family.BRIDGE else PRIORITIES
    priority = _priority(hook.priority, known, hook.number)
    policy = "accept" if hook.policy == Code.ACCEPT else "drop"
    where = names.get(hook.number, str(hook.number))
    return f"type {hook.kind} hook {where}{device} priority {priority}; policy {policy};"


def _priority(number: int, known: dict[str, int], hook: int) -> str:
    for name, value in known.items():
        if ONLY_AT.get(name, hook) == hook and abs(number - value) <= NEAR:
            difference = number - value
            return name if not difference else f"{name} {'+' if difference > 0 else '-'} {abs(difference)}"
    return str(number)
