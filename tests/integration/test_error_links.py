"""Where the link of an error leads, on a node and here: to a page that says what the error means."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.nodes import Cluster, RealNode


@pytest.mark.allow_stamps  # the page names the fields that a client may not send
def test_a_link_leads_to_what_the_error_means(cluster: Callable[..., Cluster], single_node: RealNode) -> None:
    running = cluster(groups=1, nodes=2, rf=1)
    of_a_node = single_node.api.request("GET", "/indexes/none").json()
    assert httpx.URL(of_a_node["link"]).fragment == of_a_node["code"] == "index_not_found"
    assert running.client.request("GET", "/indexes/none").json() == of_a_node
    nobody = running.client.with_key(None)
    ours = {
        "miroir_not_supported": running.client.request("GET", "/network"),
        "miroir_invalid_auth": nobody.request("GET", "/_miroir/topology"),
    }
    for code, answer in ours.items():
        assert answer.json()["code"] == code
        link = httpx.URL(running.client.url).join(answer.json()["link"])
        assert link.fragment == code
        page = nobody.request("GET", str(link))
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert f'<h2 id="{code}">' in page.text
    nobody.close()
