// The official JavaScript client against any Meilisearch: `MEILI_URL=... MEILI_KEY=... node smoke.mjs`.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Meilisearch } from 'meilisearch'
import { generateTenantToken } from 'meilisearch/token'

const host = process.env.MEILI_URL
const books = JSON.parse(await readFile(new URL('../books.json', import.meta.url), 'utf8'))
const prefix = `javascript_${randomBytes(4).toString('hex')}`
const client = new Meilisearch({ host, apiKey: process.env.MEILI_KEY })

const step = (name) => console.log(`- ${name}`)
const ids = (found) => found.hits.map((hit) => hit.id)

/** What became of a task, given the promise of it. */
async function done(enqueued) {
  const task = await enqueued.waitTask({ timeout: 60_000 })
  assert.equal(task.status, 'succeeded', JSON.stringify(task.error))
  return task
}

async function refused(promise, code, status) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.cause?.code, code, String(error))
    assert.equal(error.response?.status, status)
    return true
  })
}

step('health and version')
assert.equal((await client.health()).status, 'available')
assert.ok((await client.getVersion()).pkgVersion)

step('create an index')
const [uid, other] = [`${prefix}_books`, `${prefix}_other`]
await done(client.createIndex(uid, { primaryKey: 'id' }))
const index = client.index(uid)
assert.equal((await client.getRawIndex(uid)).primaryKey, 'id')

step('settings')
await done(
  index.updateSettings({
    filterableAttributes: ['author', 'genres', 'year'],
    sortableAttributes: ['year', 'rating'],
    synonyms: { sea: ['seas'], seas: ['sea'] },
  }),
)
assert.deepEqual((await index.getSettings()).filterableAttributes, ['author', 'genres', 'year'])
await done(index.updateTypoTolerance({ minWordSizeForTypos: { oneTypo: 4 } }))
assert.equal((await index.getTypoTolerance()).minWordSizeForTypos.oneTypo, 4)

step('documents')
const added = await done(index.addDocuments(books))
assert.deepEqual(added.details, { receivedDocuments: 24, indexedDocuments: 24 })
await done(index.updateDocuments([{ id: 2, rating: 8.8 }]))
assert.deepEqual(await index.getDocument(2, { fields: ['title', 'rating'] }), { title: 'Emma', rating: 8.8 })
assert.equal((await index.getDocuments({ limit: 5, offset: 20 })).total, 24)
assert.equal((await index.getDocuments({ filter: 'year < 1816' })).total, 2)

step('search')
assert.deepEqual(ids(await index.search('karamzov')), [17])
assert.deepEqual(ids(await index.searchGet('karamzov')), [17])
const austen = await index.search('', {
  filter: "author = 'Jane Austen'",
  sort: ['year:desc'],
  facets: ['genres'],
})
assert.deepEqual(ids(austen), [3, 2, 1])
assert.deepEqual(austen.facetDistribution, { genres: { novel: 3, romance: 3 } })
assert.deepEqual(ids(await index.search('sea')), [13])
const marked = await index.search('wuthering', { attributesToHighlight: ['title'] })
assert.equal(marked.hits[0]._formatted.title, '<em>Wuthering</em> Heights')
const page = await index.search('', { page: 2, hitsPerPage: 10 })
assert.deepEqual([page.hits.length, page.totalHits, page.totalPages], [10, 24, 3])
const facets = await index.searchForFacetValues({ facetName: 'author', facetQuery: 'charl' })
assert.deepEqual(facets.facetHits, [{ value: 'Charlotte Brontë', count: 1 }])
const both = await client.multiSearch({
  queries: [
    { indexUid: uid, q: 'dracula' },
    { indexUid: uid, q: 'emma' },
  ],
})
assert.deepEqual(both.results.map(ids), [[23], [2]])

step('keys and tenant tokens')
const expiresAt = new Date(Date.now() + 3_600_000)
const key = await client.createKey({ actions: ['search'], indexes: [uid], expiresAt })
const searcher = new Meilisearch({ host, apiKey: key.key })
assert.deepEqual(ids(await searcher.index(uid).search('emma')), [2])
await refused(searcher.index(uid).deleteAllDocuments(), 'invalid_api_key', 403)
const token = await generateTenantToken({
  apiKey: key.key,
  apiKeyUid: key.uid,
  searchRules: { [uid]: { filter: 'year > 1890' } },
})
const tenant = new Meilisearch({ host, apiKey: token })
assert.equal((await tenant.index(uid).search('')).hits.length, 3)
await client.deleteKey(key.uid)

step('swap two indexes')
await done(client.index(other).addDocuments([{ id: 1, title: 'Another' }], { primaryKey: 'id' }))
for (const expected of [1, 24]) {
  await done(client.swapIndexes([{ indexes: [uid, other] }]))
  assert.equal((await index.getStats()).numberOfDocuments, expected)
}

step('delete')
const filtered = await done(index.deleteDocuments({ filter: 'genres = horror' }))
assert.equal(filtered.details.deletedDocuments, 4)
await done(index.deleteDocument(7))
await done(index.deleteDocuments([8, 9]))
assert.equal((await index.getStats()).numberOfDocuments, 17)
await done(index.deleteAllDocuments())
assert.equal((await index.getDocuments()).total, 0)
assert.equal((await client.tasks.getTasks({ indexUids: [uid], types: ['documentDeletion'] })).total, 4)
for (const each of [uid, other]) await done(client.deleteIndex(each))
await refused(client.getRawIndex(uid), 'index_not_found', 404)
console.log('ok')
