# The image: the binary on a base without shell or package manager. Both bases are Debian 12, so that the C library is the same;
# everything else (OpenSSL, librdkafka) is linked in. It runs as uid 65532 and writes only below /var/lib/waitbridge.
#
#   docker build --build-arg WAITBRIDGE_REVISION="$(git rev-parse --short HEAD)" -t waitbridge:0.1.0 .
#
# A tag may be moved, and distroless has no other than such: who wants the same bytes for ever puts the digest behind it
# (FROM …@sha256:…), as `docker buildx imagetools inspect IMAGE` names it.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
# librdkafka brings symbols that only a debugger of it wants.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo

# The dependencies alone, with an empty program: this layer lasts until Cargo.lock changes. The tables of tests and benches go, for their
# files are not here.
COPY Cargo.toml Cargo.lock ./
RUN sed -i '/^\[\[/,/^$/d' Cargo.toml \
    && mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked --bin waitbridge

# What the program is made of, with the samples that `send` has in it; the files may be older than the empty one, which cargo must not take for them.
COPY src src
COPY tests/samples tests/samples
ARG WAITBRIDGE_REVISION=unknown
ENV WAITBRIDGE_REVISION=$WAITBRIDGE_REVISION
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin waitbridge \
    && mkdir /journal

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/waitbridge /usr/local/bin/waitbridge
# A volume that is mounted here takes this owner with it.
COPY --from=build --chown=65532:65532 /journal /var/lib/waitbridge
USER 65532:65532
EXPOSE 8080 9464
HEALTHCHECK --interval=5s --timeout=6s --start-period=60s CMD ["/usr/local/bin/waitbridge", "health"]
ENTRYPOINT ["/usr/local/bin/waitbridge"]
CMD ["serve"]
