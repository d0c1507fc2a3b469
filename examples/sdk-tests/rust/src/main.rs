//! The official Rust client against any Meilisearch: `MEILI_URL=... MEILI_KEY=... cargo run`.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meilisearch_sdk::client::{Client, SwapIndexes};
use meilisearch_sdk::documents::{DocumentDeletionQuery, DocumentsQuery};
use meilisearch_sdk::errors::{Error, ErrorCode};
use meilisearch_sdk::indexes::Index;
use meilisearch_sdk::key::{Action, KeyBuilder};
use meilisearch_sdk::search::{SearchResults, Selectors};
use meilisearch_sdk::settings::{MinWordSizeForTypos, Settings, TypoToleranceSettings};
use meilisearch_sdk::task_info::TaskInfo;
use meilisearch_sdk::tasks::{SucceededTask, Task, TaskType, TasksSearchQuery};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Book {
    id: u32,
    title: String,
    author: Option<String>,
    year: Option<u32>,
    genres: Option<Vec<String>>,
    rating: Option<f64>,
}

fn step(name: &str) {
    println!("- {name}");
}

/// Wait for a task, which must succeed.
async fn done(client: &Client, enqueued: Result<TaskInfo, Error>) -> Result<SucceededTask, Error> {
    let patience = Some(Duration::from_secs(60));
    let pause = Some(Duration::from_millis(20));
    match enqueued?
        .wait_for_completion(client, pause, patience)
        .await?
    {
        Task::Succeeded { content } => Ok(content),
        other => panic!("{other:?}"),
    }
}

fn ids(found: &SearchResults<Book>) -> Vec<u32> {
    found.hits.iter().map(|hit| hit.result.id).collect()
}

async fn search(index: &Index, query: &str) -> Result<Vec<u32>, Error> {
    Ok(ids(&index.search().with_query(query).execute().await?))
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>, code: ErrorCode) {
    match outcome {
        Err(Error::Meilisearch(refusal)) if refusal.error_code == code => (),
        other => panic!("expected a refusal with {code:?}, not {other:?}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let url = std::env::var("MEILI_URL").expect("MEILI_URL");
    let client = Client::new(&url, std::env::var("MEILI_KEY").ok())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let prefix = format!("rust_{:x}", now.as_nanos() as u32);
    let (uid, other) = (format!("{prefix}_books"), format!("{prefix}_other"));
    let index = client.index(&uid);
    let books: Vec<Book> = serde_json::from_str(include_str!("../../books.json"))?;

    step("health and version");
    assert!(client.is_healthy().await);
    assert!(!client.get_version().await?.pkg_version.is_empty());

    step("create an index");
    done(&client, client.create_index(&uid, Some("id")).await).await?;
    assert_eq!(
        client.get_index(&uid).await?.primary_key.as_deref(),
        Some("id")
    );

    step("settings");
    let settings = Settings::new()
        .with_filterable_attributes(["author", "genres", "year"])
        .with_sortable_attributes(["year", "rating"])
        .with_synonyms(HashMap::from([("sea", ["seas"]), ("seas", ["sea"])]));
    done(&client, index.set_settings(&settings).await).await?;
    let filterable = index.get_settings().await?.filterable_attributes.unwrap();
    assert_eq!(filterable, ["author", "genres", "year"]);
    let typos = TypoToleranceSettings {
        enabled: None,
        disable_on_attributes: None,
        disable_on_words: None,
        min_word_size_for_typos: Some(MinWordSizeForTypos {
            one_typo: Some(4),
            two_typos: None,
        }),
    };
    done(&client, index.set_typo_tolerance(&typos).await).await?;
    let sizes = index
        .get_typo_tolerance()
        .await?
        .min_word_size_for_typos
        .unwrap();
    assert_eq!(sizes.one_typo, Some(4));

    step("documents");
    let added = done(&client, index.add_documents(&books, None).await).await?;
    let TaskType::DocumentAdditionOrUpdate {
        details: Some(details),
    } = added.update_type
    else {
        panic!("{added:?}")
    };
    assert_eq!(
        (details.received_documents, details.indexed_documents),
        (24, Some(24))
    );
    let change = [json!({"id": 2, "rating": 8.8})];
    done(&client, index.add_or_update(&change, None).await).await?;
    let emma: Book = index.get_document("2").await?;
    assert_eq!((emma.title.as_str(), emma.rating), ("Emma", Some(8.8)));
    let tail = DocumentsQuery::new(&index)
        .with_limit(5)
        .with_offset(20)
        .execute::<Book>()
        .await?;
    assert_eq!((tail.results.len(), tail.total), (4, 24));
    let old = DocumentsQuery::new(&index)
        .with_filter("year < 1816")
        .execute::<Book>()
        .await?;
    assert_eq!(old.total, 2);

    step("search");
    assert_eq!(search(&index, "karamzov").await?, [17]);
    let austen = index
        .search()
        .with_filter("author = 'Jane Austen'")
        .with_sort(&["year:desc"])
        .with_facets(Selectors::Some(&["genres"]))
        .execute::<Book>()
        .await?;
    assert_eq!(ids(&austen), [3, 2, 1]);
    let genres = HashMap::from([("novel".into(), 3), ("romance".into(), 3)]);
    assert_eq!(austen.facet_distribution.unwrap()["genres"], genres);
    assert_eq!(search(&index, "sea").await?, [13]);
    let highlighted = Selectors::Some(&["title"][..]);
    let marked = index
        .search()
        .with_query("wuthering")
        .with_attributes_to_highlight(highlighted)
        .execute::<Book>()
        .await?;
    let formatted = marked.hits[0].formatted_result.as_ref().unwrap();
    assert_eq!(formatted["title"], "<em>Wuthering</em> Heights");
    let page = index
        .search()
        .with_page(2)
        .with_hits_per_page(10)
        .execute::<Book>()
        .await?;
    assert_eq!(
        (page.hits.len(), page.total_hits, page.total_pages),
        (10, Some(24), Some(3))
    );
    let facets = index
        .facet_search("author")
        .with_facet_query("charl")
        .execute()
        .await?;
    assert_eq!(facets.facet_hits[0].value, "Charlotte Brontë");
    let both = client
        .multi_search()
        .with_search_query(index.search().with_query("dracula").build())
        .with_search_query(index.search().with_query("emma").build())
        .execute::<Book>()
        .await?;
    assert_eq!(
        both.results.iter().map(ids).collect::<Vec<_>>(),
        [[23], [2]]
    );

    step("keys and tenant tokens");
    let key = KeyBuilder::new()
        .with_action(Action::Search)
        .with_index(&uid)
        .with_expires_at(OffsetDateTime::now_utc() + Duration::from_secs(3600))
        .execute(&client)
        .await?;
    let key_uid = key.uid.clone();
    let searcher = Client::new(&url, Some(&key.key))?;
    assert_eq!(search(&searcher.index(&uid), "emma").await?, [2]);
    refused(
        searcher.index(&uid).delete_all_documents().await,
        ErrorCode::InvalidApiKey,
    );
    let rules = json!({&uid: {"filter": "year > 1890"}});
    let token = client.generate_tenant_token(key_uid.clone(), rules, Some(&key.key), None)?;
    let tenant = Client::new(&url, Some(token))?.index(&uid);
    let late: HashSet<u32> = search(&tenant, "").await?.into_iter().collect();
    assert_eq!(late, HashSet::from([22, 23, 24]));
    client.delete_key(&key_uid).await?;

    step("swap two indexes");
    let another = [json!({"id": 1, "title": "Another"})];
    done(
        &client,
        client
            .index(&other)
            .add_documents(&another, Some("id"))
            .await,
    )
    .await?;
    for expected in [1, 24] {
        let pair = SwapIndexes {
            indexes: (uid.clone(), other.clone()),
            rename: None,
        };
        done(&client, client.swap_indexes([&pair]).await).await?;
        assert_eq!(index.get_stats().await?.number_of_documents, expected);
    }

    step("delete");
    let mut horror = DocumentDeletionQuery::new(&index);
    horror.with_filter("genres = horror");
    let filtered = done(&client, index.delete_documents_with(&horror).await).await?;
    let TaskType::DocumentDeletion {
        details: Some(details),
    } = filtered.update_type
    else {
        panic!("{filtered:?}")
    };
    assert_eq!(details.deleted_documents, Some(4));
    done(&client, index.delete_document(7).await).await?;
    done(&client, index.delete_documents(&[8, 9]).await).await?;
    assert_eq!(index.get_stats().await?.number_of_documents, 17);
    done(&client, index.delete_all_documents().await).await?;
    assert_eq!(index.get_documents::<Book>().await?.total, 0);
    let mut deletions = TasksSearchQuery::new(&client);
    deletions
        .with_index_uids([uid.as_str()])
        .with_types(["documentDeletion"]);
    assert_eq!(client.get_tasks_with(&deletions).await?.total, 4);
    done(&client, client.delete_index(&uid).await).await?;
    done(&client, client.delete_index(&other).await).await?;
    refused(client.get_index(&uid).await, ErrorCode::IndexNotFound);
    println!("ok");
    Ok(())
}
