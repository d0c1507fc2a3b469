"""Knobs of the two web interfaces."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from miroir.config.base import (
    Color,
    Count,
    CspSource,
    EnvName,
    HeaderName,
    OptionalEnvName,
    Origin,
    Positive,
    Rate,
    Section,
    Text,
    UrlPath,
)


class CspOverrides(Section):
    """Sources added to the strict content security policy; `*` is refused."""

    script_src: tuple[CspSource, ...] = Field((), description="added to `script-src`")
    img_src: tuple[CspSource, ...] = Field((), description="added to `img-src`")
    connect_src: tuple[CspSource, ...] = Field((), description="added to `connect-src`")


class AdminTheme(Section):
    """Looks of the admin interface."""

    accent_color: Color = Field("#2563eb", description="accent colour")
    default_mode: Literal["auto", "light", "dark"] = Field("auto", description="light, dark, or as the system says")


class AdminFeatures(Section):
    """Parts of the admin interface that can be left out."""

    sandbox: bool = Field(True, description="query sandbox")
    shadow_viewer: bool = Field(True, description="shadow differences")
    cdc_inspector: bool = Field(True, description="change events")


class AdminRateLimit(Section):
    """Limits on logins."""

    per_ip: Rate = Field("10/minute", description="logins per address")
    failed_attempt_threshold: Positive = Field(5, description="failures in a row until the address must wait")
    backoff_start_minutes: Positive = Field(10, description="first wait; doubled each time")
    backoff_max_hours: Positive = Field(24, description="longest wait")
    backend: Literal["local", "redis"] = Field("local", description="where counts are kept; `redis` for several pods")


class AdminUi(Section):
    """The admin interface."""

    enabled: bool = Field(True, description="offer the admin interface")
    path: UrlPath = Field("/_miroir/admin", description="where it is")
    session_ttl_s: Positive = Field(3600, description="a session ends after this time")
    read_only_mode: bool = Field(False, description="hide every change")
    allowed_origins: tuple[Origin, ...] = Field(("same-origin",), description="origins that may log in")
    cors_allowed_origins: tuple[Origin, ...] = Field((), description="origins allowed by CORS")
    csp_overrides: CspOverrides = CspOverrides()
    theme: AdminTheme = AdminTheme()
    features: AdminFeatures = AdminFeatures()
    rate_limit: AdminRateLimit = AdminRateLimit()


class OauthProxy(Section):
    """Users named by a proxy in front (`mode: oauth_proxy`)."""

    user_header: HeaderName = Field("X-Forwarded-User", description="header with the user")
    groups_header: HeaderName = Field("X-Forwarded-Groups", description="header with the groups")
    filter_template: Text | None = Field(None, description="filter of every search, such as `tenant IN [{groups}]`")
    attribute_map: dict[str, str] = Field({}, description="name in the template: header")


class SearchUiAuth(Section):
    """Who may open the search interface."""

    mode: Literal["public", "shared_key", "oauth_proxy"] = Field("public", description="anyone, a key, or a proxy")
    shared_key_env: OptionalEnvName = Field("", description="environment variable with the shared key")
    session_ttl_s: Positive = Field(900, description="life of a session token")
    session_rate_limit: Rate = Field("10/minute", description="sessions per address")
    jwt_secret_env: EnvName = Field("SEARCH_UI_JWT_SECRET", description="environment variable with the JWT secret")
    oauth_proxy: OauthProxy = OauthProxy()


class SearchUiRateLimit(Section):
    """Limits on searches."""

    per_ip: Rate = Field("60/minute", description="searches per address")
    backend: Literal["local", "redis"] = Field("local", description="where counts are kept; `redis` for several pods")
    redis_key_prefix: Text = Field("miroir:ratelimit:searchui:", description="prefix of the keys in Redis")
    redis_ttl_s: Positive = Field(60, description="life of a count in Redis")


class SearchUiAnalytics(Section):
    """Click and latency beacons."""

    enabled: bool = Field(False, description="collect beacons")
    sink: Literal["cdc"] = Field("cdc", description="where they go")


class SearchUi(Section):
    """The search interface and its widget."""

    enabled: bool = Field(False, description="offer the search interface; needs the JWT secret")
    path: UrlPath = Field("/ui/search", description="where it is")
    widget_script_enabled: bool = Field(True, description="offer `/ui/widget.js`")
    embeddable: bool = Field(True, description="may be shown in a frame by an allowed origin")
    allowed_origins: tuple[Origin, ...] = Field(("*",), description="origins that may embed it and open sessions")
    auth: SearchUiAuth = SearchUiAuth()
    scoped_key_max_age_days: Positive = Field(60, description="life of the search key held for an index")
    scoped_key_rotate_before_expiry_days: Positive = Field(30, description="replaced this long before its end")
    scoped_key_rotation_drain_s: Count = Field(120, description="time the old key stays valid")
    rate_limit: SearchUiRateLimit = SearchUiRateLimit()
    cors_allowed_origins: tuple[Origin, ...] = Field((), description="origins allowed by CORS")
    csp_overrides: CspOverrides = CspOverrides()
    analytics: SearchUiAnalytics = SearchUiAnalytics()
