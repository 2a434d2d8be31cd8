# changeover as a small image: the program, nothing else of the build.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev cmake && rm -rf /var/lib/apt/lists/*
# Dependencies first: they are built again only when the lock file changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches && echo '//! Stand-in.' > src/lib.rs && echo 'fn main() {}' > src/main.rs \
 && sed -e '/^\[\[bench\]\]/,/^$/d' -e '/^\[\[test\]\]/,/^$/d' -i Cargo.toml \
 && cargo build --release --locked && rm -rf src
COPY . .
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

# Tags move: whoever needs the same image twice writes the digests of both bases here (docs/SECURITY.md, "The container").
FROM debian:bookworm-slim
# The certificates of the machine are what TLS to brokers and databases trusts. Nothing else is added: health is asked by
# the program itself.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
 && useradd --system --home-dir /var/lib/changeover --no-create-home --shell /usr/sbin/nologin --uid 10001 changeover \
 && install -d -o changeover -m 0700 /var/lib/changeover /var/lib/changeover/data
COPY --from=build /src/target/release/changeover /usr/local/bin/changeover
# By its number, so that a runtime that refuses root can tell.
USER 10001
WORKDIR /var/lib/changeover
# Written to is this volume alone: the root file system may be read-only.
VOLUME /var/lib/changeover/data
EXPOSE 8080 8081 1883 8083
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
  CMD ["changeover", "health", "--config", "/etc/changeover/changeover.toml"]
ENTRYPOINT ["changeover"]
CMD ["serve", "--config", "/etc/changeover/changeover.toml"]
