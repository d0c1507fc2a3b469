// The official Go client against any Meilisearch: `MEILI_URL=... MEILI_KEY=... go run .`
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"time"

	"github.com/meilisearch/meilisearch-go"
)

type book struct {
	ID     int      `json:"id"`
	Title  string   `json:"title,omitempty"`
	Author string   `json:"author,omitempty"`
	Year   int      `json:"year,omitempty"`
	Genres []string `json:"genres,omitempty"`
	Rating float64  `json:"rating,omitempty"`
}

var client = meilisearch.New(os.Getenv("MEILI_URL"), meilisearch.WithAPIKey(os.Getenv("MEILI_KEY")))

func main() {
	log.SetFlags(log.Lshortfile)
	prefix := fmt.Sprintf("go_%x", time.Now().UnixNano()&0xffffffff)
	uid, other := prefix+"_books", prefix+"_other"
	index := client.Index(uid)

	step("health and version")
	expect(client.IsHealthy(), true)
	expect(must(client.Version()).PkgVersion != "", true)

	step("create an index")
	done(client.CreateIndex(&meilisearch.IndexConfig{Uid: uid, PrimaryKey: "id"}))
	expect(must(client.GetIndex(uid)).PrimaryKey, "id")

	step("settings")
	done(index.UpdateSettings(&meilisearch.Settings{
		FilterableAttributes: []string{"author", "genres", "year"},
		SortableAttributes:   []string{"year", "rating"},
		Synonyms:             map[string][]string{"sea": {"seas"}, "seas": {"sea"}},
	}))
	expect(must(index.GetSettings()).FilterableAttributes, []string{"author", "genres", "year"})
	done(index.UpdateTypoTolerance(&meilisearch.TypoTolerance{
		Enabled:             true,
		MinWordSizeForTypos: meilisearch.MinWordSizeForTypos{OneTypo: 4},
	}))
	expect(must(index.GetTypoTolerance()).MinWordSizeForTypos.OneTypo, int64(4))

	step("documents")
	added := done(index.AddDocuments(read("books.json"), nil))
	expect([]int64{added.Details.ReceivedDocuments, added.Details.IndexedDocuments}, []int64{24, 24})
	done(index.UpdateDocuments([]book{{ID: 2, Rating: 8.8}}, nil))
	var emma book
	check(index.GetDocument("2", nil, &emma))
	expect(emma, book{2, "Emma", "Jane Austen", 1815, []string{"novel", "romance"}, 8.8})
	expect(listed(index, &meilisearch.DocumentsQuery{Limit: 5, Offset: 20}), int64(24))
	expect(listed(index, &meilisearch.DocumentsQuery{Filter: "year < 1816"}), int64(2))

	step("search")
	expect(found(index, "karamzov", &meilisearch.SearchRequest{}), []int{17})
	austen := must(index.Search("", &meilisearch.SearchRequest{
		Filter: "author = 'Jane Austen'",
		Sort:   []string{"year:desc"},
		Facets: []string{"genres"},
	}))
	expect(ids(austen.Hits), []int{3, 2, 1})
	expect(string(austen.FacetDistribution), `{"genres":{"novel":3,"romance":3}}`)
	expect(found(index, "sea", &meilisearch.SearchRequest{}), []int{13})
	marked := must(index.Search("wuthering", &meilisearch.SearchRequest{AttributesToHighlight: []string{"title"}}))
	var formatted struct{ Title string }
	check(json.Unmarshal(marked.Hits[0]["_formatted"], &formatted))
	expect(formatted.Title, "<em>Wuthering</em> Heights")
	page := must(index.Search("", &meilisearch.SearchRequest{Page: 2, HitsPerPage: 10}))
	expect([]int64{int64(len(page.Hits)), page.TotalHits, page.TotalPages}, []int64{10, 24, 3})
	facets := must(index.FacetSearch(&meilisearch.FacetSearchRequest{FacetName: "author", FacetQuery: "charl"}))
	var values struct{ FacetHits []struct{ Value string } }
	check(json.Unmarshal(*facets, &values))
	expect(values.FacetHits[0].Value, "Charlotte Brontë")
	both := must(client.MultiSearch(&meilisearch.MultiSearchRequest{
		Queries: []*meilisearch.SearchRequest{{IndexUID: uid, Query: "dracula"}, {IndexUID: uid, Query: "emma"}},
	}))
	expect([][]int{ids(both.Results[0].Hits), ids(both.Results[1].Hits)}, [][]int{{23}, {2}})

	step("keys and tenant tokens")
	key := must(client.CreateKey(&meilisearch.Key{
		Actions:   []string{"search"},
		Indexes:   []string{uid},
		ExpiresAt: time.Now().Add(time.Hour),
	}))
	searcher := meilisearch.New(os.Getenv("MEILI_URL"), meilisearch.WithAPIKey(key.Key)).Index(uid)
	expect(found(searcher, "emma", &meilisearch.SearchRequest{}), []int{2})
	_, err := searcher.DeleteAllDocuments()
	refused(err, 403, "invalid_api_key")
	rules := map[string]any{uid: map[string]any{"filter": "year > 1890"}}
	token := must(client.GenerateTenantToken(key.UID, rules, &meilisearch.TenantTokenOptions{APIKey: key.Key}))
	tenant := meilisearch.New(os.Getenv("MEILI_URL"), meilisearch.WithAPIKey(token)).Index(uid)
	expect(len(must(tenant.Search("", &meilisearch.SearchRequest{})).Hits), 3)
	must(client.DeleteKey(key.UID))

	step("swap two indexes")
	primaryKey := "id"
	done(client.Index(other).AddDocuments([]book{{ID: 1, Title: "Another"}}, &primaryKey))
	for _, expected := range []int64{1, 24} {
		done(client.SwapIndexes([]*meilisearch.SwapIndexesParams{{Indexes: []string{uid, other}}}))
		expect(must(index.GetStats()).NumberOfDocuments, expected)
	}

	step("delete")
	expect(done(index.DeleteDocumentsByFilter("genres = horror")).Details.DeletedDocuments, int64(4))
	done(index.DeleteDocument("7"))
	done(index.DeleteDocuments([]string{"8", "9"}))
	expect(must(index.GetStats()).NumberOfDocuments, int64(17))
	done(index.DeleteAllDocuments())
	expect(listed(index, &meilisearch.DocumentsQuery{}), int64(0))
	deletions := must(client.GetTasks(&meilisearch.TasksQuery{
		IndexUIDS: []string{uid},
		Types:     []meilisearch.TaskType{meilisearch.TaskTypeDocumentDeletion},
	}))
	expect(deletions.Total, int64(4))
	done(client.DeleteIndex(uid))
	done(client.DeleteIndex(other))
	_, err = client.GetIndex(uid)
	refused(err, 404, "index_not_found")
	fmt.Println("ok")
}

func step(name string) { fmt.Println("-", name) }

func check(err error) {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
	return value
}

func expect(got, wanted any) {
	if !reflect.DeepEqual(got, wanted) {
		log.Output(2, fmt.Sprintf("got %v, expected %v", got, wanted))
		os.Exit(1)
	}
}

// done waits for a task and fails unless it succeeded.
func done(enqueued *meilisearch.TaskInfo, err error) *meilisearch.Task {
	check(err)
	task, err := client.WaitForTask(enqueued.TaskUID, 20*time.Millisecond)
	check(err)
	expect(task.Status, meilisearch.TaskStatusSucceeded)
	return task
}

func refused(err error, status int, code string) {
	var refusal *meilisearch.Error
	if !errors.As(err, &refusal) {
		log.Fatalf("not refused: %v", err)
	}
	expect(refusal.StatusCode, status)
	expect(refusal.MeilisearchApiError.Code, code)
}

func read(name string) (books []book) {
	_, here, _, _ := runtime.Caller(0)
	check(json.Unmarshal(must(os.ReadFile(filepath.Join(filepath.Dir(here), "..", name))), &books))
	return books
}

func ids(hits meilisearch.Hits) []int {
	var books []book
	check(hits.Decode(&books))
	found := []int{}
	for _, each := range books {
		found = append(found, each.ID)
	}
	return found
}

func found(index meilisearch.IndexManager, query string, request *meilisearch.SearchRequest) []int {
	return ids(must(index.Search(query, request)).Hits)
}

func listed(index meilisearch.IndexManager, query *meilisearch.DocumentsQuery) int64 {
	var page meilisearch.DocumentsResult
	check(index.GetDocuments(query, &page))
	return page.Total
}
