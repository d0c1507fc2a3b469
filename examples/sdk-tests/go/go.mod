module miroir/sdk-test

go 1.21

require github.com/meilisearch/meilisearch-go v0.33.2

require (
	github.com/andybalholm/brotli v1.1.1 // indirect
	github.com/golang-jwt/jwt/v4 v4.5.2 // indirect
)
