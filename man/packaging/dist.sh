#!/bin/sh
# Makes target/dist/l2tpd-VERSION.tar.gz: the sources and all crates that they need, so that it builds without a network
# (cargo --frozen). The same sources give the same octets. Called by `make dist`. Needs GNU tar.
set -eu
cd "$(dirname "$0")/../.."
CARGO=${CARGO:-cargo}
name=l2tpd-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
out=$PWD/target/dist
rm -rf "${out:?}/$name" "$out/$name.tar.gz"
mkdir -p "$out/$name"

if [ -e .git ]; then
    git ls-files >"$out/files"
    date=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
else
    find . -path ./target -prune -o -path ./vendor -prune -o ! -type d -print >"$out/files"
    date=${SOURCE_DATE_EPOCH:-$(stat -c %Y Cargo.toml)}
fi
tar -cf - -T "$out/files" | tar -xf - -C "$out/$name"

if [ -d vendor ]; then
    cp -R vendor "$out/$name/"
else
    mkdir -p "$out/$name/.cargo"
    (cd "$out/$name" && "$CARGO" vendor -q --locked --versioned-dirs vendor >/dev/null)
    printf '[source.crates-io]\nreplace-with = "vendored"\n\n[source.vendored]\ndirectory = "vendor"\n' \
        >"$out/$name/.cargo/config.toml"
fi

tar -cf - -C "$out" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --mtime="@$date" "$name" | gzip -9n >"$out/$name.tar.gz"
rm -rf "${out:?}/$name" "$out/files"
echo "target/dist/$name.tar.gz"
