"""Layers, refusals and reports of the configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from miroir.config import Config, ConfigError, NodeEntry, Problem, load_config, settle_may_be_skipped
from miroir.config.reference import page
from miroir.config.schema import field_at, known_keys

DOCS = Path(__file__).parents[3] / "docs"
NODES = [{"id": f"n{n}", "address": f"http://n{n}:7700", "replica_group": n % 2} for n in range(4)]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "miroir.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def as_overrides(values: dict[str, Any]) -> list[str]:
    return [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()]


def problems_of(
    values: dict[str, Any] | None = None, *, environ: dict[str, str] | None = None, overrides: tuple[str, ...] = ()
) -> dict[str, Problem]:
    sets = as_overrides(values or {})
    with pytest.raises(ConfigError) as caught:
        load_config(None, environ=environ or {}, overrides=[*sets, *overrides])
    return {problem.path: problem for problem in caught.value.problems}


# Defaults and reference


def test_the_reference_file_holds_every_default() -> None:
    document = yaml.safe_load((DOCS / "config.reference.yaml").read_text(encoding="utf-8"))
    assert document == {"miroir": Config().dump(reveal=True)}


def test_the_reference_file_loads_to_the_defaults() -> None:
    assert load_config(DOCS / "config.reference.yaml", environ={}) == Config()


def test_the_documentation_is_current() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m miroir.config.reference docs/configuration.md"


def test_every_knob_is_described() -> None:
    for key in known_keys():
        field = field_at(key.split("."))
        assert field is not None
        section = field.annotation if isinstance(field.annotation, type) else None
        assert field.description or (section and section.__doc__), key


def test_importing_the_configuration_brings_nothing_heavy() -> None:
    heavy = {"httpx", "trio", "quart", "structlog", "prometheus_client", "typer", "rich", "pydantic_settings"}
    program = f"import miroir.config, sys; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# Round trip

names = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True)
counts = st.integers(0, 2**53 - 1)
positives = st.integers(1, 2**53 - 1)
shares = st.floats(0, 1)
words = st.text(min_size=1, max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def configurations(draw: st.DrawFn) -> Config:
    groups = draw(st.integers(1, 3))
    per_group = draw(st.integers(1, 3))
    ids = draw(st.lists(names, min_size=groups * per_group, max_size=groups * per_group, unique=True))
    nodes = [
        {"id": name, "address": f"http://host-{n}:{7700 + n}", "replica_group": n % groups}
        for n, name in enumerate(ids)
    ]
    renew = draw(st.integers(1, 1000))
    sinks = [
        {"type": "webhook", "name": "w", "url": "https://u:p@h.example/x?t=1", "batch_size": draw(positives)},
        {"type": "kafka", "name": "k", "bootstrap_servers": draw(st.lists(words, min_size=1, max_size=3))},
        {"type": "internal"},
    ]
    canary = {"id": draw(words), "index": "products", "query": draw(st.dictionaries(words, json_values, max_size=3))}
    return Config.model_validate(
        {
            "cluster_name": draw(words),
            "shards": draw(st.integers(1, 65_536)),
            "replica_groups": groups,
            "replication_factor": draw(st.integers(1, per_group)),
            "nodes": draw(st.sampled_from([nodes, []])),
            "task_store": {
                "backend": "redis",
                "url": draw(st.sampled_from(["redis://h:1/0", "rediss://:s%40t@h"])),
                "path": draw(words),
            },
            "health": {"interval_ms": draw(positives)},
            "server": {
                "port": draw(st.integers(0, 7000)),
                "trusted_proxies": draw(st.lists(st.ip_addresses().map(str), max_size=3)),
                "tls": draw(st.sampled_from([{}, {"cert": "c", "key": "k"}])),
            },
            "resharding": {"allowed_windows": draw(st.sampled_from([[], ["02:00-06:00 UTC"]]))},
            "hedging": {"p95_trigger_multiplier": draw(st.floats(1, 1e6)), "enabled": draw(st.booleans())},
            "replica_selection": {"exploration_epsilon": draw(shares), "error_weight": draw(st.floats(0, 1e12))},
            "leader_election": {"renew_interval_s": renew, "lease_ttl_s": renew + draw(st.integers(1, 1000))},
            "cdc": {"enabled": draw(st.booleans()), "sinks": draw(st.sampled_from([[], sinks]))},
            "ttl": {"per_index_overrides": {"a": {"sweep_interval_s": draw(st.none() | positives)}}},
            "tenant_affinity": {"static_map": draw(st.dictionaries(words, st.integers(0, groups - 1), max_size=3))},
            "canary_runner": {"canaries": draw(st.sampled_from([[], [canary]]))},
            "search_ui": {"auth": {"oauth_proxy": {"filter_template": draw(st.none() | words)}}},
            "logging": {"level": draw(st.sampled_from(["debug", "info", "warning", "error"]))},
        }
    )


@given(configurations())
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    path = tmp_path_factory.mktemp("round") / "miroir.yaml"
    path.write_text(config.to_yaml(reveal=True), encoding="utf-8")
    # Compared outside of the assertions: pytest would explain two whole configurations at each step of shrinking.
    from_yaml = load_config(path, environ={}) == config
    from_json = Config.model_validate(json.loads(config.to_json(reveal=True))["miroir"]) == config
    assert (from_yaml, from_json) == (True, True)


@given(st.text(max_size=300) | st.binary(max_size=100).map(lambda raw: raw.decode("latin-1")))
@settings(deadline=None, max_examples=200)
@example(text="{}")
def test_any_text_is_a_configuration_or_a_report(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "miroir.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    problems = None
    try:
        load_config(path, environ={})
    except ConfigError as error:
        problems = error.problems
    assert problems != ()


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "miroir: &m {server: *m}",
        "[" * 5000,
        "miroir: {shards: !!int x}",
        "miroir: {shards: !!timestamp x}",
        "miroir: {shards: !!python/object:os.system {}}",
        "miroir: {shards: " + "9" * 5000 + "}",
        "miroir: {? {a: b} : c}",
        "miroir: {3: 4}",
        "miroir: 7",
        "- miroir",
        "miroir: {shards: 1",
        "\x00",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "\n".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    ],
)
def test_hostile_yaml_is_refused_with_a_report(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), environ={})
    assert all(problem.wrong and problem.instead for problem in caught.value.problems)


# Layers


def test_later_layers_win_and_sections_merge(tmp_path: Path) -> None:
    path = write(tmp_path, "miroir:\n  shards: 8\n  server: {port: 1, metrics_port: 2, workers: 3}\n  health:\n")
    environ = {"MIROIR_SERVER__PORT": "10", "MIROIR_SERVER__METRICS_PORT": "20", "MIROIR_CLUSTER_NAME": "other"}
    config = load_config(path, environ=environ, overrides=["server.port=100"])
    assert (config.server.port, config.server.metrics_port, config.server.workers) == (100, 20, 3)
    assert (config.shards, config.cluster_name, config.health) == (8, "other", Config().health)


def test_lists_maps_and_sections_are_json_outside_of_the_file() -> None:
    environ = {
        "MIROIR_NODES": json.dumps(NODES),
        "MIROIR_REPLICA_GROUPS": "2",
        "MIROIR_SERVER__TLS": '{"cert": "c"}',
        "MIROIR_SERVER__TLS__KEY": "k",
        "MIROIR_ADMIN_UI__RATE_LIMIT__PER_IP": "3/minute",
    }
    overrides = ['tenant_affinity.static_map={"acme": 1}', "search_ui.auth.oauth_proxy.filter_template=null"]
    config = load_config(None, environ=environ, overrides=overrides)
    assert config.nodes[3] == NodeEntry(id="n3", address="http://n3:7700", replica_group=1)
    assert (config.server.tls.cert, config.server.tls.key) == ("c", "k")
    assert config.tenant_affinity.static_map == {"acme": 1}
    assert config.search_ui.auth.oauth_proxy.filter_template is None
    assert config.admin_ui.rate_limit.per_ip == "3/minute"


def test_a_list_is_replaced_whole(tmp_path: Path) -> None:
    path = write(tmp_path, "miroir: {server: {trusted_proxies: [10.0.0.0/8, 192.168.0.1]}}")
    config = load_config(path, environ={}, overrides=['server.trusted_proxies=["::1"]'])
    assert config.server.trusted_proxies == ("::1",)


def test_secrets_and_service_links_in_the_environment_are_left_alone() -> None:
    environ = {
        "MIROIR_PORT": "tcp://10.0.0.1:7700",
        "MIROIR_SERVICE_HOST": "10.0.0.1",
        "MIROIR_MASTER_KEY": "x",
        "MIROIR_SERVER": "what",
        "SHARDS": "3",
    }
    assert load_config(None, environ=environ) == Config()


@pytest.mark.parametrize("text", ["", "# nothing\n", "miroir:\n", "miroir: {}\n", "miroir: {server: }\n"])
def test_an_empty_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_config(write(tmp_path, text), environ={}) == Config()


# Reports


def test_everything_wrong_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "miroir:\n  shards: 0\n  server:\n    prot: 7700\n    workers: 1\n    workers: 2\n"
        "  leader_election: {lease_ttl_s: 2}\nother: 1\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={"MIROIR_HEALTH__INTERVAL_MS": "soon"}, overrides=["logging.level=loud", "x"])
    found = {problem.path: problem for problem in caught.value.problems}
    assert found["shards"].source == f"{path}:2"
    assert found["server.prot"].source == f"{path}:4"
    assert "`server.port`" in found["server.prot"].instead
    assert found["server.workers"].source == f"{path}:6"
    assert found["other"].source == f"{path}:8"
    assert found["health.interval_ms"].source == "MIROIR_HEALTH__INTERVAL_MS"
    assert "`5000`" in found["health.interval_ms"].instead
    assert found["logging.level"].source == "--set logging.level"
    assert found["--set"].wrong == "an argument has no `=`"
    assert found["leader_election.lease_ttl_s"].source == f"{path}:7"
    assert len(found) == 8
    text = str(caught.value)
    assert text.startswith("configuration refused, 8 problems:\n")
    assert f"server.prot ({path}:4): there is no such key" in text


@pytest.mark.parametrize(
    ("environ", "override", "near"),
    [
        ({"MIROIR_SERVER__PROT": "1"}, None, "`MIROIR_SERVER__PORT`"),
        ({"MIROIR_SERVR__PORT": "1"}, None, "`MIROIR_SERVER__PORT`"),
        ({"MIROIR_WRITE__NODE_TIMEOUT_MS": "1"}, None, "`MIROIR_SCATTER__NODE_TIMEOUT_MS`"),
        ({}, "server.tls.crt=x", "`server.tls.cert`"),
        ({}, "replication_factr=2", "`replication_factor`"),
        ({}, "server.port.x=2", "`server.port`"),
        ({}, "=2", "`"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(
    environ: dict[str, str], override: str | None, near: str
) -> None:
    (problem,) = problems_of(environ=environ, overrides=(override,) if override else ()).values()
    assert near in problem.instead


def test_an_unknown_key_in_a_list_names_its_position_and_its_neighbour() -> None:
    found = problems_of({"nodes": [NODES[0], {"id": "b", "adress": "http://b:1"}]})
    assert "`address`" in found["nodes[1].adress"].instead
    assert found["nodes[1].address"].wrong == "is missing"


def test_free_text_is_never_repeated(tmp_path: Path) -> None:
    secret = "hunter2-hunter2"
    path = write(
        tmp_path,
        f"miroir:\n  task_store: {{backend: redis, url: 'http://u:{secret}@h'}}\n"
        f"  nodes: [{{id: a, address: 'http://u:{secret}@h:1'}}]\n"
        f"  master_key: {secret}\n  cluster_name: [{secret}]\n"
        f"  cdc: {{sinks: [{{type: webhook, name: w, url: 'ftp://{secret}'}}]}}\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ={}, overrides=[secret])
    assert len(caught.value.problems) == 6
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value)


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "miroir:\n  server: {port: 1\n  health: {}\n")
    with pytest.raises(ConfigError, match=r"is not YAML: line 3"):
        load_config(path, environ={})
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "missing.yaml", environ={})
    with pytest.raises(ConfigError, match="no top key `miroir`"):
        load_config(write(tmp_path, "shards: 3"), environ={})


# Values


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("server.port", 65536),
        ("server.port", -1),
        ("shards", 0),
        ("shards", True),
        ("shards", 1.5),
        ("server.max_body_bytes", 0),
        ("tracing.sample_rate", 1.1),
        ("hedging.p95_trigger_multiplier", 0.5),
        ("admin_ui.rate_limit.per_ip", "many"),
        ("admin_ui.path", "admin"),
        ("admin_ui.theme.accent_color", "blue"),
        ("anti_entropy.schedule", "0 * * * *"),
        ("server.trusted_proxies", ["proxy"]),
        ("admin_ui.allowed_origins", ["https://a.example/x"]),
        ("resharding.allowed_windows", ["2-6"]),
        ("search_ui.auth.jwt_secret_env", "9A"),
        ("cdc.sinks", [{"type": "pigeon", "name": "p"}]),
        ("nodes", [{"id": "a b", "address": "http://a:1"}]),
        ("nodes", [{"id": "a", "address": "a:7700"}]),
        ("nodes", [{"id": "a", "address": "http://a"}]),
        ("nodes", [{"id": "a", "address": "http://a:7700/x"}]),
        ("nodes", [{"id": "a", "address": "http://a:99999"}]),
        ("canary_runner.canaries", [{"id": "c", "index": "i", "query": {"x": float("nan")}}]),
    ],
)
def test_values_out_of_range_are_refused(key: str, value: Any) -> None:
    (path,) = {path.split("[")[0] for path in problems_of({key: value})}
    assert path == key


def test_an_address_is_kept_in_one_form() -> None:
    assert NodeEntry(id="a", address="http://Meili-0:7700/").address == "http://meili-0:7700"


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().server.port = 1  # type: ignore[misc]  # that is what is tested


# Refused together

ADMIN_CSP = "admin_ui.csp_overrides"
SEARCH_CSP = "search_ui.csp_overrides"
IDLE = "connection_pool_per_node.max_idle"
SHARED = "search_ui.auth.shared_key_env"
REDIS = {"backend": "redis", "url": "redis://h"}


@pytest.mark.parametrize(
    ("values", "path", "cure"),
    [
        ({"cdc.enabled": True}, "cdc.buffer.overflow", {"cdc.buffer.overflow": "disk"}),
        ({"cdc.enabled": True}, "cdc.buffer.overflow", {"task_store": REDIS}),
        ({"task_store.backend": "redis"}, "task_store.url", {"task_store.url": "redis://h:6379"}),
        (
            {"search_ui.scoped_key_rotate_before_expiry_days": 60},
            "search_ui.scoped_key_rotate_before_expiry_days",
            {"search_ui.scoped_key_max_age_days": 61},
        ),
        ({"leader_election.lease_ttl_s": 3}, "leader_election.lease_ttl_s", {"leader_election.renew_interval_s": 2}),
        ({"nodes": [NODES[1], NODES[0]]}, "nodes[0].replica_group", {"replica_groups": 2}),
        ({"nodes": [NODES[0], {**NODES[2], "id": "n0"}]}, "nodes[1].id", {"nodes": NODES[0::2]}),
        ({"nodes": [NODES[0], {**NODES[2], "address": "http://N0:7700"}]}, "nodes[1].address", {"nodes": NODES[0::2]}),
        ({"nodes": NODES[0::2], "replication_factor": 3}, "replication_factor", {"replication_factor": 2}),
        ({"nodes": NODES[0::2], "replica_groups": 2}, "replication_factor", {"replica_groups": 1}),
        ({f"{ADMIN_CSP}.img_src": ["*"]}, f"{ADMIN_CSP}.img_src", {f"{ADMIN_CSP}.img_src": ["data:"]}),
        ({f"{SEARCH_CSP}.script_src": ["*"]}, f"{SEARCH_CSP}.script_src", {f"{SEARCH_CSP}.script_src": []}),
        ({"server.tls.cert": "c"}, "server.tls.key", {"server.tls.key": "k"}),
        ({"server.port": 9090}, "server.metrics_port", {"server.metrics_port": 0}),
        ({"connection_pool_per_node.max_total": 8}, IDLE, {IDLE: 8}),
        ({"search_ui.auth.mode": "shared_key"}, SHARED, {SHARED: "K"}),
        ({"tenant_affinity.dedicated_groups": [1]}, "tenant_affinity.dedicated_groups", {"replica_groups": 2}),
        ({"cdc.sinks": [{"type": "internal"}] * 2}, "cdc.sinks", {"cdc.sinks": [{"type": "internal"}]}),
    ],
)
def test_what_does_not_go_together_is_refused_and_can_be_cured(
    values: dict[str, Any], path: str, cure: dict[str, Any]
) -> None:
    assert set(problems_of(values)) == {path}
    load_config(None, environ={}, overrides=as_overrides(values | cure))


def test_several_pods_need_redis_and_shared_limits() -> None:
    both = ("search_ui.enabled=true", "search_ui.rate_limit.backend=local")
    found = problems_of(environ={"MIROIR_PODS": "2"}, overrides=both)
    assert set(found) == {
        "task_store.backend",
        "admin_ui.rate_limit.backend",
        "search_ui.rate_limit.backend",
    }
    assert load_config(None, environ={"MIROIR_PODS": "1"}) == Config()
    fine = [f"task_store={json.dumps(REDIS)}", "admin_ui.rate_limit.backend=redis"]
    assert load_config(None, environ={"MIROIR_PODS": "12"}, overrides=fine).task_store.backend == "redis"
    assert set(problems_of(environ={"MIROIR_PODS": "many"})) == {"MIROIR_PODS"}


def test_building_one_directly_refuses_too() -> None:
    with pytest.raises(ConfigError, match="lease would end"):
        Config.model_validate({"leader_election": {"lease_ttl_s": 1}})


def test_the_settle_step_may_be_skipped_only_with_anti_entropy() -> None:
    assert settle_may_be_skipped(Config())
    assert not settle_may_be_skipped(Config.model_validate({"anti_entropy": {"enabled": False}}))


# What is shown


def test_passwords_in_urls_are_not_shown() -> None:
    config = Config.model_validate(
        {
            "task_store": {"backend": "redis", "url": "redis://user:hunter2@h:1/0"},
            "cdc": {"sinks": [{"type": "webhook", "name": "w", "url": "https://hooks.example/hunter2?k=hunter2"}]},
            "shadow": {"targets": [{"name": "s", "url": "https://u:hunter2@s.example"}]},
        }
    )
    for text in (config.to_yaml(), config.to_json(), repr(config), str(config)):
        assert "hunter2" not in text
    assert config.dump()["task_store"]["url"] == "redis://***@h:1/0"
    assert config.dump()["cdc"]["sinks"][0]["url"] == "https://hooks.example/***?***"
