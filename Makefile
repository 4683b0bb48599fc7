# l2tpd: build, install, demonstrate, test. `make help` lists the targets.
#
# `make` and `make install` need nothing but cargo and the ordinary small tools (busybox's will do).

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DATADIR ?= $(PREFIX)/share
DOCDIR ?= $(DATADIR)/doc/l2tpd
UNITDIR ?= $(PREFIX)/lib/systemd/system
CARGO ?= cargo
INSTALL ?= $(if $(shell command -v install),install,sh man/packaging/install.sh)
DESTDIR ?=

# STATIC=1: a program that needs no shared library, for distributions with another libc. STATIC=musl: a smaller one, with
# musl's, where the compiler has that target.
STATIC ?=

# STD=small: the standard library is built too, for size and without what prints a backtrace or the place of a panic, where
# its sources are there (rustup component add rust-src). cargo has this for its own development only, hence
# RUSTC_BOOTSTRAP.
STD ?=
BUILD_STD = $(if $(STD),-Z build-std=std$(comma)panic_abort -Z build-std-features=optimize_for_size)
comma = ,

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
BIN = target/release/l2tpd
CTL = target/release/l2tpctl
SOURCES = $(shell find src -name '*.rs') Cargo.toml Cargo.lock man/packaging/small.ld
D = $(DESTDIR)

# The archive of `make dist` has all crates in vendor/ and needs no network.
LOCKED = $(if $(wildcard vendor),--frozen,--locked)

# The directories where it is built leave no trace in the program: the same sources and compiler give the same octets.
CRATES = $(wildcard $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src/*)
# The standard library's own, where its sources are there (component rust-src), is what it is without them.
RUSTC ?= rustc
SYSROOT = $(shell $(RUSTC) --print sysroot 2>/dev/null)/lib/rustlib/src/rust
COMMIT = $(shell $(RUSTC) -vV 2>/dev/null | sed -n 's/^commit-hash: //p')
REMAP = --remap-path-prefix=$(SYSROOT)=/rustc/$(COMMIT) --remap-path-prefix=$(CURDIR)=. $(foreach from,$(CURDIR)/vendor $(CRATES),--remap-path-prefix=$(from)=crates)

# An eighth of the program is tables that nothing reads: a panic aborts, so nothing unwinds (without them a debugger finds
# its way by frame pointers or not at all; a panic is logged with its place in any case); and relocations, which linkers
# of today write in a tenth of the room, for glibc 2.36 and musl 1.2.4 or newer. What several functions do alike is made a
# function by itself (the instructions that a transfer takes are as many as without). `make SMALL=` leaves all as it is.
ifeq ($(shell uname -s),Linux)
SMALL = -C link-arg=-Wl,-z,pack-relative-relocs -C link-arg=-Wl,--no-eh-frame-hdr \
	-C link-arg=-Wl,-T,$(CURDIR)/man/packaging/small.ld -C llvm-args=-enable-machine-outliner=always $(ICF)
endif
# Equal functions are there once, where the linker can do that (lld, which rustc brings along for x86_64).
ICF = $(shell d=$$(mktemp -d) && echo 'fn main() {}' | $(RUSTC) $(TARGET) -C link-arg=-Wl,--icf=all -o "$$d/a" - 2>/dev/null \
	&& echo '-C link-arg=-Wl,--icf=all'; rm -rf "$$d")

all: $(BIN) $(CTL)

# Each kind is kept in a directory of its own; target/release has the one that was asked for last. Comparing makes sure
# of that, and spares cargo: `make install` as root, after `make` as a user, does not start it again.
KIND = $(or $(filter musl,$(STATIC)),$(if $(STATIC),static,dynamic))$(if $(STD),-small)
$(BIN): target/$(KIND)/release/l2tpd force
	@mkdir -p target/release
	@cmp -s $< $(BIN) || { cp $< $(BIN).new && mv $(BIN).new $(BIN); }

HOST = $(shell $(RUSTC) -vV 2>/dev/null | sed -n 's/^host: //p')
TRIPLE = $(if $(filter musl,$(STATIC)),$(shell uname -m)-unknown-linux-musl,$(if $(STD),$(HOST)))
TARGET = $(if $(TRIPLE),--target $(TRIPLE))
target/$(KIND)/release/l2tpd: $(SOURCES)
	$(if $(STD),RUSTC_BOOTSTRAP=1 )RUSTFLAGS='$(RUSTFLAGS) $(REMAP) $(SMALL)$(if $(STATIC), -C target-feature=+crt-static)$(if $(STD), -Z location-detail=none)' \
		$(CARGO) build --release $(LOCKED) --bins $(TARGET) $(BUILD_STD) --target-dir target/$(KIND)
	@$(if $(TRIPLE),mkdir -p $(@D) && cp target/$(KIND)/$(TRIPLE)/release/l2tpd $@,touch $@)

# One program under two names.
$(CTL): $(BIN)
	@ln -sf l2tpd $(CTL)

install: all
	$(INSTALL) -d '$(D)$(SBINDIR)' '$(D)$(SYSCONFDIR)' '$(D)$(DOCDIR)'
	$(INSTALL) -m 0755 $(BIN) '$(D)$(SBINDIR)/l2tpd'
	ln -sf l2tpd '$(D)$(SBINDIR)/l2tpctl'
	$(INSTALL) -m 0644 README.md LICENSE '$(D)$(DOCDIR)/'
	@# The daemon becomes this user. Packages make it themselves.
	@if [ -z '$(D)' ] && [ "$$(id -u)" = 0 ] && ! id l2tpd >/dev/null 2>&1; then \
		useradd -r -U -M -d /nonexistent -s /usr/sbin/nologin l2tpd 2>/dev/null \
			|| adduser -S -D -H -s /sbin/nologin l2tpd 2>/dev/null \
			|| echo 'No user l2tpd could be made: the daemon will run as root, with few capabilities.'; \
	fi
	@# The configuration holds secrets: only root and that user read it, and an edited one is never overwritten.
	test -e '$(D)$(SYSCONFDIR)/l2tpd.conf' || $(INSTALL) -m 0600 l2tpd.conf.example '$(D)$(SYSCONFDIR)/l2tpd.conf'
	@if [ -z '$(D)' ] && [ "$$(id -u)" = 0 ] && id l2tpd >/dev/null 2>&1 \
		&& [ "$$(stat -c '%u:%g:%a' '$(SYSCONFDIR)/l2tpd.conf')" = 0:0:600 ]; then \
		chgrp "$$(id -g l2tpd)" '$(SYSCONFDIR)/l2tpd.conf' && chmod 0640 '$(SYSCONFDIR)/l2tpd.conf'; \
	fi
	$(INSTALL) -m 0644 l2tpd.conf.example '$(D)$(DOCDIR)/'
	$(INSTALL) -d '$(D)$(DOCDIR)/monitoring'
	$(INSTALL) -m 0644 man/monitoring/* '$(D)$(DOCDIR)/monitoring/'
	@for page in man/*.[578] man/ja/*.[578]; do \
		test -e "$$page" || continue; \
		case "$$page" in man/ja/*) language=ja/ ;; *) language= ;; esac; \
		directory="$(D)$(MANDIR)/$${language}man$${page##*.}"; \
		$(INSTALL) -d "$$directory" && $(INSTALL) -m 0644 "$$page" "$$directory/" || exit 1; \
	done
	@set -e; put() { if test -e "$$1"; then $(INSTALL) -d "$$(dirname "$$2")"; $(INSTALL) -m 0644 "$$1" "$$2"; fi; }; \
	put man/completions/bash/l2tpctl '$(D)$(DATADIR)/bash-completion/completions/l2tpctl'; \
	put man/completions/zsh/_l2tpctl '$(D)$(DATADIR)/zsh/site-functions/_l2tpctl'; \
	put man/completions/fish/l2tpctl.fish '$(D)$(DATADIR)/fish/vendor_completions.d/l2tpctl.fish'

# One of these, for the system that starts the daemon. Paths in the files follow PREFIX and SYSCONFDIR.
PLACE = sed -e 's|/usr/local/sbin/|$(SBINDIR)/|g' -e 's|/etc/l2tpd\.conf|$(SYSCONFDIR)/l2tpd.conf|g'

install-systemd:
	$(INSTALL) -d '$(D)$(UNITDIR)'
	$(PLACE) man/service/l2tpd.service > '$(D)$(UNITDIR)/l2tpd.service'
	chmod 0644 '$(D)$(UNITDIR)/l2tpd.service'

install-openrc:
	$(INSTALL) -d '$(D)$(SYSCONFDIR)/init.d'
	$(PLACE) man/service/l2tpd.openrc > '$(D)$(SYSCONFDIR)/init.d/l2tpd'
	chmod 0755 '$(D)$(SYSCONFDIR)/init.d/l2tpd'

install-runit:
	$(INSTALL) -d '$(D)$(SYSCONFDIR)/sv/l2tpd'
	$(PLACE) man/service/l2tpd.runit > '$(D)$(SYSCONFDIR)/sv/l2tpd/run'
	chmod 0755 '$(D)$(SYSCONFDIR)/sv/l2tpd/run'

install-sysvinit:
	$(INSTALL) -d '$(D)$(SYSCONFDIR)/init.d'
	$(PLACE) man/service/l2tpd.sysvinit > '$(D)$(SYSCONFDIR)/init.d/l2tpd'
	chmod 0755 '$(D)$(SYSCONFDIR)/init.d/l2tpd'

# With the list of what a system upgrade keeps.
install-procd:
	$(INSTALL) -d '$(D)$(SYSCONFDIR)/init.d'
	$(PLACE) man/service/l2tpd.procd > '$(D)$(SYSCONFDIR)/init.d/l2tpd'
	chmod 0755 '$(D)$(SYSCONFDIR)/init.d/l2tpd'
	$(INSTALL) -d '$(D)/lib/upgrade/keep.d'
	echo '$(SYSCONFDIR)/l2tpd.conf' > '$(D)/lib/upgrade/keep.d/l2tpd'

# The configuration stays: it is the administrator's.
uninstall:
	rm -f '$(D)$(SBINDIR)/l2tpd' '$(D)$(SBINDIR)/l2tpctl'
	rm -f '$(D)$(DOCDIR)/README.md' '$(D)$(DOCDIR)/LICENSE' '$(D)$(DOCDIR)/l2tpd.conf.example'
	@for file in man/monitoring/*; do rm -f "$(D)$(DOCDIR)/monitoring/$${file##*/}"; done
	-@rmdir '$(D)$(DOCDIR)/monitoring' '$(D)$(DOCDIR)' 2>/dev/null
	@for page in man/*.[578] man/ja/*.[578]; do \
		case "$$page" in man/ja/*) language=ja/ ;; *) language= ;; esac; \
		rm -f "$(D)$(MANDIR)/$${language}man$${page##*.}/$${page##*/}"; \
	done
	rm -f '$(D)$(DATADIR)/bash-completion/completions/l2tpctl' '$(D)$(DATADIR)/zsh/site-functions/_l2tpctl'
	rm -f '$(D)$(DATADIR)/fish/vendor_completions.d/l2tpctl.fish' '$(D)$(UNITDIR)/l2tpd.service'
	@if grep -qs l2tpd '$(D)$(SYSCONFDIR)/init.d/l2tpd'; then rm -f '$(D)$(SYSCONFDIR)/init.d/l2tpd'; fi
	rm -f '$(D)/lib/upgrade/keep.d/l2tpd'
	@if test -e '$(D)$(SYSCONFDIR)/sv/l2tpd/run'; then rm -f '$(D)$(SYSCONFDIR)/sv/l2tpd/run'; rmdir '$(D)$(SYSCONFDIR)/sv/l2tpd'; fi

# Two hosts in two network namespaces, joined by a pseudowire.
demo: all
	sh tests/demo.sh

# The source archive with all crates, and packages. See man/packaging for those of other systems.
dist:
	CARGO='$(CARGO)' sh man/packaging/dist.sh

deb: all
	sh man/packaging/deb.sh

# Everything that must pass.
# T=word: those whose name holds the word.
T ?=
test:
	CARGO='$(CARGO)' sh tests/run.sh '$(T)'

# Damaged inputs, for as long as SECONDS says (60), from other seeds in each run.
SECONDS ?= 60
fuzz:
	@end=$$(( $$(date +%s) + $(SECONDS) )); seed=$$(date +%s); while [ $$(date +%s) -lt $$end ]; do \
		FUZZ_BASE=$$(( seed * 10000000 )) $(CARGO) test --locked --test fuzz || exit 1; seed=$$(( seed + 1 )); done

# Live daemons, a bad network and mishaps, for SECONDS.
soak:
	LONG=1 SOAK_SECONDS=$(SECONDS) $(CARGO) test --locked --test e2e -- soak

test-targets:
	CARGO='$(CARGO)' sh tests/targets.sh

bench: all
	sh tests/bench/run.sh

bench-scale: all
	sh tests/bench/run.sh scale

clean:
	$(CARGO) clean

help:
	@echo 'make                build target/release/l2tpd and target/release/l2tpctl'
	@echo 'make STATIC=1       the same without shared libraries; STATIC=musl: smaller'
	@echo 'make STD=small      either of them with a smaller standard library (needs the component rust-src)'
	@echo 'make demo           two hosts in two network namespaces joined by a pseudowire (root)'
	@echo 'make test           all tests (those end to end need root); make test T=word: those whose name holds the word'
	@echo 'make soak           live daemons, a bad network and mishaps for SECONDS=60 (root)'
	@echo 'make fuzz           damaged inputs with new seeds for SECONDS=60'
	@echo 'make test-targets   musl, 32 bits and the other octet order, as far as they can be had here'
	@echo 'make bench          measure the data path (root)'
	@echo 'make bench-scale    measure what the number of tunnels and sessions costs (root)'
	@echo 'make install        DESTDIR, PREFIX=$(PREFIX), SYSCONFDIR=$(SYSCONFDIR); keeps an existing configuration'
	@echo 'make install-systemd | install-openrc | install-runit | install-sysvinit | install-procd'
	@echo 'make dist           target/dist/l2tpd-$(VERSION).tar.gz: the sources with all crates, to be built without a network'
	@echo 'make deb            a package for Debian, in target/dist; man/packaging has Alpine, Arch, OpenWrt, Void'
	@echo 'make uninstall      takes everything away but the configuration'

force:

.PHONY: all install install-systemd install-openrc install-runit install-sysvinit install-procd uninstall demo dist deb test fuzz soak test-targets bench bench-scale clean help force
