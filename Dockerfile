# Both programs, in an image small enough to read: a static binary each, and
# what Alpine brings (certificates for TLS, wget for health checks).
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t tandem .

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" \
    -o /out/ ./cmd/tandem ./cmd/tandem-demo

FROM alpine:3.22
COPY --from=build /out/tandem /out/tandem-demo /usr/local/bin/
# Nobody in particular: neither program needs a home or writes a file.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["tandem"]
CMD ["relay"]
