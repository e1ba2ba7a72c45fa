"""The architecture, kept by a test.  What fails says which rule, and where."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = frozenset({"regional_logger", "aggregator", "key_server", "link_registry"})
PACKAGES = sorted({"milepost"} | SERVICES)

FUNCTION_LINES_MAX, FILE_LINES_MAX = 50, 400

# What a file that says "Pure" must not reach: loop, disk, clock, network, chance.
WORLD = frozenset(
    {
        "aiohttp",
        "asyncio",
        "os",
        "pathlib",
        "random",
        "secrets",
        "shutil",
        "socket",
        "subprocess",
        "tempfile",
        "time",
    }
)

# Adding a module here is a promise, removing one is a decision.  Every other module whose
# docstring has the rule "- Pure" is held to it as well, without being named here.
PURE = frozenset(
    {
        "milepost/batch.py",
        "milepost/epochs.py",
        "milepost/errors.py",
        "milepost/links.py",
        "milepost/record.py",
        "milepost/seal.py",
        "milepost/settings.py",
        "milepost/sse.py",
        "milepost/visitor.py",
        "milepost/vocabulary.py",
        "milepost/wire.py",
    }
)
PURE_BUT_ASYNC = {
    "milepost/sse.py": "reads the lines it is given, and they come one by one",
}
PURE_BUT_PATHS = {
    "milepost/dev/plan.py": "paths are part of the plan; none is opened, made or looked at",
}
TOUCHES = re.compile(
    r"\.(open|read_\w+|write_\w+|exists|is_\w+|stat|mkdir|unlink|touch|iterdir|r?glob|resolve)\("
)

# Why these may, and nobody else.
MAY_IMPORT_SQLITE = {"milepost/sqlite.py", "milepost/database.py"}
MAY_READ_ENVIRONMENT = ("__main__.py", "milepost/cli/", "milepost/dev/")
MAY_HOLD_SQL = {"store.py", "schema.py", "database.py", "sqlite.py"}

SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|REPLACE\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s"
    r"|CREATE\s+(TEMP\s+)?(TABLE|INDEX|UNIQUE|VIEW|TRIGGER)\s|WITH\s+(RECURSIVE\s+)?\w+\s*(\(|AS\s))"
)
PURE_RULE = re.compile(r"^- Pure\b", re.MULTILINE)


def sources() -> list[str]:
    """Return every module of ours, by its path."""
    return sorted(
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    )


def written_tests() -> list[str]:
    """Return every test module, by its path."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))


@cache
def tree(path: str) -> ast.Module:
    """Return *path*, parsed."""
    return ast.parse((ROOT / path).read_text(), path)


def imported(path: str) -> frozenset[str]:
    """Return the full names that *path* imports, wherever in the file."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return frozenset(found)


def imports(path: str) -> frozenset[str]:
    """Return the top-level packages that *path* imports."""
    return frozenset(name.partition(".")[0] for name in imported(path))


def functions(path: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Give every function in *path*."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines *function* has, without its docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        whole -= (first.end_lineno or first.lineno) - first.lineno + 1
    return whole


def texts(path: str) -> Iterator[tuple[int, str]]:
    """Give every string in *path* that is no docstring, with its line."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree(path))
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree(path)):
        if id(node) in docstrings or not isinstance(node, ast.Constant):
            continue
        if isinstance(node.value, str):
            yield node.lineno, node.value


def pure_modules() -> list[str]:
    """Return every module that promises to be pure."""
    told = {path for path in sources() if PURE_RULE.search(ast.get_docstring(tree(path)) or "")}
    return sorted(told | PURE)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_services_do_not_import_each_other(service: str) -> None:
    """They share `milepost` and speak HTTP; nothing else connects them."""
    wrong = {
        path: sorted(others)
        for path in sources()
        if path.startswith(f"{service}/") and (others := imports(path) & (SERVICES - {service}))
    }

    assert wrong == {}, "services never import each other"


def test_the_kernel_knows_no_service() -> None:
    """`milepost` could be used by a sixth service without a change, its command included."""
    wrong = [
        path for path in sources() if path.startswith("milepost/") and imports(path) & SERVICES
    ]

    assert wrong == [], "milepost imports no service: reach it as a process and over HTTP"


def test_there_is_one_door_to_sqlite() -> None:
    """A second library on the same file would corrupt it."""
    drivers = {"sqlite3", "pysqlite3", "aiosqlite"}
    wrong = [path for path in sources() if imports(path) & drivers]

    assert set(wrong) <= MAY_IMPORT_SQLITE, "use milepost.sqlite and milepost.database"


def test_only_composition_roots_read_the_environment() -> None:
    """Everything else is given its configuration."""
    wrong = [
        path
        for path in sources()
        if not any(place in path for place in MAY_READ_ENVIRONMENT)
        and re.search(r"\bos\.(environ|getenv)\b", (ROOT / path).read_text())
    ]

    assert wrong == [], "take a Config; only __main__ and the command read os.environ"


def test_sql_lives_in_stores() -> None:
    """Whoever looks for a statement knows where."""
    wrong = [
        f"{path}:{line}"
        for path in sources()
        if Path(path).name not in MAY_HOLD_SQL and "store" not in Path(path).parts
        for line, text in texts(path)
        if SQL.match(text)
    ]

    assert wrong == [], "SQL is an upper-case constant in a store.py, and nowhere else"


@pytest.mark.parametrize("path", pure_modules())
def test_pure_modules_do_not_touch_the_world(path: str) -> None:
    """What is said to be pure can be tested without a loop, a disk or a clock."""
    world = WORLD - {"pathlib"} if path in PURE_BUT_PATHS else WORLD

    assert sorted(imports(path) & world) == [], f"{path} says that it is pure"
    assert path not in PURE_BUT_PATHS or not TOUCHES.search((ROOT / path).read_text())
    assert path in PURE_BUT_ASYNC or not any(
        isinstance(node, ast.AsyncFunctionDef) for node in functions(path)
    ), f"{path} says that it is pure: no async def"


def test_functions_are_short() -> None:
    """A function is read at one glance."""
    wrong = [
        f"{path}:{function.lineno} {function.name} has {length(function)} lines"
        for path in [*sources(), *written_tests()]
        for function in functions(path)
        if length(function) > FUNCTION_LINES_MAX
    ]

    assert wrong == [], f"at most {FUNCTION_LINES_MAX} lines without the docstring"


def test_files_are_short() -> None:
    """A module is read at one sitting."""
    wrong = {
        path: lines
        for path in [*sources(), *written_tests()]
        if (lines := len((ROOT / path).read_text().splitlines())) > FILE_LINES_MAX
    }

    assert wrong == {}, f"at most {FILE_LINES_MAX} lines"


@pytest.mark.parametrize("path", written_tests())
def test_every_test_states_its_law(path: str) -> None:
    """The name says what, the docstring why it matters."""
    wrong = [
        f"{path}:{function.lineno} {function.name}"
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert wrong == [], "every test has a docstring that states the law"


def test_test_files_have_names_of_their_own() -> None:
    """They are imported by base name."""
    names = [Path(path).name for path in written_tests()]

    assert sorted(names) == sorted(set(names))
