FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# .git is not in the build context: pass --build-arg VERSION="$(git describe --tags --always --dirty)".
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/gitfleet ./cmd/gitfleet

# The program is static and would run on an empty image. What it needs besides itself:
# - ca-certificates, for https:// repositories and API servers with public certificates;
# - git, for file:// repositories (a mounted bare repository), which go-git reads through `git upload-pack`;
# - a directory it may write, for the repository cache and the state file.
FROM alpine:3.22
RUN apk add --no-cache ca-certificates git && \
    adduser -D -H -u 65532 gitfleet && \
    install -d -o gitfleet -g gitfleet /var/lib/gitfleet
COPY --from=build /out/gitfleet /usr/local/bin/gitfleet
USER 65532:65532
# The default of --state-dir is gitfleet below this directory.
ENV XDG_CACHE_HOME=/var/lib
VOLUME /var/lib/gitfleet
EXPOSE 8484
ENTRYPOINT ["gitfleet"]
