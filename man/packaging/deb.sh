#!/bin/sh
# Makes target/dist/l2tpd_VERSION-1_ARCHITECTURE.deb with plain dpkg-deb, from what `make` built. Called by `make deb`.
# DEBFULLNAME and DEBEMAIL name who made it. The package neither enables nor starts the service, which has no
# configuration yet.
set -eu
umask 022
cd "$(dirname "$0")/../.."
here=man/packaging/debian
maintainer="${DEBFULLNAME:-l2tpd packager} <${DEBEMAIL:-packager@localhost.localdomain}>"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)-1
arch=$(dpkg --print-architecture)
out=target/dist
stage=$out/deb
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(stat -c %Y Cargo.toml)}"
rm -rf "$stage"
mkdir -p "$stage/DEBIAN"

make -s install install-systemd DESTDIR="$PWD/$stage" PREFIX=/usr SYSCONFDIR=/etc UNITDIR=/usr/lib/systemd/system
doc=$stage/usr/share/doc/l2tpd
# The administrator writes the configuration; an example is among the documents.
rm -r "${stage:?}/etc"
mkdir "$doc/examples"
mv "$doc/l2tpd.conf.example" "$doc/examples/"
# Debian has places of its own for these.
rm "$doc/LICENSE"
mkdir -p "$stage/usr/share/zsh/vendor-completions"
mv "$stage/usr/share/zsh/site-functions/_l2tpctl" "$stage/usr/share/zsh/vendor-completions/"
rmdir "$stage/usr/share/zsh/site-functions"
{ sed '/^LICENSE$/,$d' $here/copyright; sed -n '/^Permission/,$p' LICENSE | sed -e 's/^$/./' -e 's/^/ /'; } >"$doc/copyright"
sed -e "s/@VERSION@/$version/" -e "s/@MAINTAINER@/$maintainer/" $here/changelog | gzip -9n >"$doc/changelog.Debian.gz"
find "$stage/usr/share/man" -type f -exec gzip -9n {} +

# The oldest C library that has all functions that the program calls.
if grep -aq 'GLIBC_2' "$stage/usr/sbin/l2tpd"; then
    libc=$(grep -ao 'GLIBC_2\.[0-9.]*' "$stage/usr/sbin/l2tpd" | sed 's/GLIBC_//' | sort -V | tail -n 1)
    # Packed relocations (DT_RELR).
    ! grep -aq GLIBC_ABI_DT_RELR "$stage/usr/sbin/l2tpd" || libc=$(printf '%s\n' "$libc" 2.36 | sort -V | tail -n 1)
    depends="libc6 (>= $libc), libgcc-s1 (>= 4.2), "
fi
# For the user that the daemon becomes.
depends="${depends:-}adduser"
size=$(du -sk --apparent-size "$stage" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@MAINTAINER@/$maintainer/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" \
    -e "s/@DEPENDS@/$depends/" $here/control >"$stage/DEBIAN/control"
for script in postinst prerm postrm; do
    install -m 0755 "$here/$script" "$stage/DEBIAN/$script"
done
(cd "$stage" && find usr -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
chmod 0644 "$stage/DEBIAN/md5sums"
# Dates within the package are those of the sources.
find "$stage" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build "$stage" "$out/l2tpd_${version}_$arch.deb" >/dev/null
rm -rf "$stage"
echo "$out/l2tpd_${version}_$arch.deb"
