-- Addresses that are told of every task that ends; `headers` is a JSON object of texts.
CREATE TABLE webhooks (
    uuid TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    headers TEXT NOT NULL
) STRICT;
