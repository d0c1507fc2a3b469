// A shop's page: the official client of the browser against a server on another origin, named in the address.
import { Meilisearch, MeiliSearchApiError } from './meilisearch.mjs'

const given = new URLSearchParams(location.search)
const host = given.get('host')
const client = new Meilisearch({ host, apiKey: given.get('key') })
const index = client.index(given.get('index'))

const hits = document.querySelector('#hits')
const error = document.querySelector('#error')

let typing = new AbortController()

/** Shows what is found for what was typed last, and why nothing is. A search that another overtakes is given up. */
async function show(query) {
  typing.abort()
  const { signal } = (typing = new AbortController())
  try {
    const found = await index.search(query, { limit: 5, attributesToHighlight: ['title'] }, { signal })
    if (signal.aborted) return
    hits.replaceChildren(
      ...found.hits.map((hit) => {
        const item = document.createElement('li')
        item.innerHTML = hit._formatted.title
        return item
      }),
    )
    error.textContent = ''
  } catch (failure) {
    if (signal.aborted) return
    error.textContent = `${failure.cause?.code}: ${failure.message}`
  }
}
document.querySelector('#query').addEventListener('input', (event) => show(event.target.value))

/** What became of a promise: its value, or what a page can tell of a refusal. */
async function outcome(promise) {
  try {
    return await promise
  } catch (failure) {
    const refused = failure instanceof MeiliSearchApiError
    return { refused, status: failure.response?.status, cause: failure.cause, message: failure.message }
  }
}

const settled = async (enqueued) => {
  const task = await enqueued.waitTask({ timeout: 60_000 })
  return { status: task.status, type: task.type, details: task.details, code: task.error?.code }
}

/** Everything a shop's own pages do. */
window.work = async (documents) => ({
  health: await client.health(),
  created: await settled(client.createIndex(index.uid, { primaryKey: 'id' })),
  settings: await settled(index.updateSettings({ filterableAttributes: ['genre'], sortableAttributes: ['year'] })),
  added: await settled(index.addDocuments(documents)),
  updated: await settled(index.updateDocuments([{ id: documents.length - 1, year: 1816 }])),
  deleted: await settled(index.deleteDocument(documents.length)),
  failed: await settled(index.addDocuments([{ id: 'not an id' }])),
  found: (await index.search('emma', { filter: 'genre = novel', facets: ['genre'] })).hits,
  several: (await client.multiSearch({ queries: ['emma', 'book'].map((q) => ({ indexUid: index.uid, q })) })).results.map(
    (each) => each.estimatedTotalHits,
  ),
  document: await index.getDocument(documents.length - 1),
  listed: (await index.getDocuments({ limit: 3, fields: ['id'] })).results,
  stats: (await index.getStats()).numberOfDocuments,
  refusedFilter: await outcome(index.search('', { filter: 'title = 1' })),
  refusedIndex: await outcome(client.index('not-there').search('')),
})

/** What a page sees of a bare answer: whether it may read it at all, and which headers. */
window.ask = async (method, path, headers) => {
  const answer = await fetch(host + path, { method, headers })
  return { status: answer.status, length: (await answer.text()).length, headers: Object.fromEntries(answer.headers) }
}
window.ready = true
