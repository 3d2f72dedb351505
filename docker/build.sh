#!/usr/bin/env bash
# Build the images where there is no engine, and try each of them: buildah without a daemon, a base made by debootstrap.
# Needs root and Debian's packages buildah and debootstrap. Usage: docker/build.sh [ROLE …]; all roles by default.
#
#   STORE        where images are kept                  (default: build/images in the repository)
#   BASE_ROOT    a root made by debootstrap before      (default: it is made, and kept in STORE)
#   MIRROR       Debian's mirror                        (default: http://deb.debian.org/debian)
#   WHEELS       a folder of wheels pip may take from   (default: none)
#   CA_BUNDLE    authorities that pip believes          (default: pip's own)
#   TORCH_INDEX  an index with a CPU build of torch; empty for none
#   TAG          of the images                          (default: dev)
#   SMOKE=0      builds and does not try
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$here")
store=${STORE:-$repository/build/images}
tag=${TAG:-dev}
roles=("$@")
[ ${#roles[@]} -gt 0 ] || roles=(registry names witness coordinator node)
[ "$(id -u)" -eq 0 ] || { echo "build.sh: this needs root: chroot isolation and debootstrap do" >&2; exit 1; }
mkdir -p "$store"

images() { buildah --root "$store/root" --runroot "$store/run" "$@"; }

if ! images inspect --type image tahini-base:bookworm > /dev/null 2>&1; then
    root=${BASE_ROOT:-$store/base}
    if [ ! -e "$root/etc/debian_version" ]; then
        debootstrap --variant=minbase bookworm "$root" "${MIRROR:-http://deb.debian.org/debian}"
    fi
    container=$(images from scratch)
    tar --create --directory "$root" --exclude=./var/cache/apt/archives/*.deb --exclude=./var/lib/apt/lists/* . \
        > "$store/base.tar"
    images add "$container" "$store/base.tar" / > /dev/null
    # Debian's security and point updates: debootstrap installs from the release alone.
    images run --isolation chroot "$container" -- sh -c 'printf "%s\n" \
        "deb http://deb.debian.org/debian bookworm main" "deb http://deb.debian.org/debian bookworm-updates main" \
        "deb http://deb.debian.org/debian-security bookworm-security main" > /etc/apt/sources.list
        apt-get update --quiet=2 && apt-get upgrade --yes --quiet=2 > /dev/null
        rm -rf /var/lib/apt/lists/* /var/cache/apt/*'
    images commit --quiet --rm "$container" tahini-base:bookworm
    rm "$store/base.tar"
fi

settings=(--build-arg BASE=localhost/tahini-base:bookworm)
if [ -n "${WHEELS:-}" ]; then
    settings+=(--volume "$WHEELS:/run/wheels:ro" --build-arg PIP_FIND_LINKS=/run/wheels)
fi
if [ -n "${CA_BUNDLE:-}" ]; then
    settings+=(--volume "$CA_BUNDLE:/run/authorities.pem:ro" --build-arg PIP_CERT=/run/authorities.pem)
fi
if [ -n "${TORCH_INDEX+set}" ]; then
    settings+=(--build-arg "TORCH_INDEX=$TORCH_INDEX")
fi
for role in "${roles[@]}"; do
    # The format is Docker's: OCI's has no health checks. Layers: what roles share is built once.
    images bud --isolation chroot --format docker --layers "${settings[@]}" \
        --file "$here/Dockerfile" --target "$role" --tag "tahini-$role:$tag" "$repository"
done

if [ "${SMOKE:-1}" = 1 ]; then
    python3 "$here/smoke.py" --store "$store" --tag "$tag" "${roles[@]}"
fi
images images --format 'table {{.Name}} {{.Tag}} {{.Size}}' | grep --extended-regexp "REPOSITORY|tahini-"
