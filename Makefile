# Everyday commands; each does its own set-up.
.PHONY: build static install uninstall deb demo demo-vm demo-serial-vm compare-nvme compare-nbd test example docs bench \
  stress lint clean

build:
	swift build -c release

# The program without Swift's shared libraries, for machines without a toolchain.
STATIC := .build-static/release/vfio-user
static:
	swift build -c release --product vfio-user --static-swift-stdlib --scratch-path .build-static

# Where to: PREFIX (/usr/local) and DESTDIR; Scripts/install says the rest. Builds only when nothing is built, since it runs as
# root: `make static && sudo make install`.
install: $(STATIC)
	Scripts/install $(STATIC)

$(STATIC):
	$(MAKE) static

uninstall:
	Scripts/install --remove

# A Debian package in .build-deb; Scripts/check-deb tries it in a bare Debian.
deb: static
	Scripts/make-deb $(STATIC) .build-deb

# Serves a device and drives it, without a virtual machine.
demo: build
	.build/release/vfio-user demo

# A virtual machine whose root file system is on our NVMe disk; the first run fetches QEMU and a kernel.
demo-vm: build
	Scripts/fetch-guest --with nvme
	Scripts/demo-vm

# A virtual machine with the serial port plugged in.
demo-serial-vm: build
	Scripts/fetch-guest
	Scripts/demo-serial-vm

# Our NVMe disk, QEMU's own and virtio-blk, with fio in one guest; best on an idle machine.
compare-nvme: build
	Scripts/fetch-guest --with nvme
	Scripts/compare-nvme

# Our disk on an NBD server against fio and nbdcopy on the same one; best on an idle machine.
compare-nbd: build
	Scripts/compare-nbd

# All tests, those with real guests included. Allocations are counted in the optimised build: a debug
# build allocates in innocent code.
# A system call that the sandbox has forgotten ends the program, so that a test sees it.
test: export VFIO_USER_SANDBOX_KILL = 1
test:
	Scripts/fetch-guest --with nvme
	ONLY_ALLOCATIONS=1 swift test -c release -Xswiftc -enable-testing --scratch-path .build-release --no-parallel \
	  --filter AllocationTests
	swift build --build-tests
	Scripts/run-tests

# The README's example: builds, works, and is what the README shows.
example:
	Scripts/check-example

# The documentation as a site that any server can serve from any folder; fails when a link leads nowhere.
# To look at it: python3 -m http.server --directory .build/site
docs:
	swift build
	Scripts/draw-diagrams --check
	Scripts/check-docs --output .build/site

# Against the floor, in the same run; best as root (SCHED_FIFO) on an idle machine.
bench: build
	cd Benchmarks && swift build -c release
	cd Benchmarks && .build/release/Benchmarks client
	cd Benchmarks && .build/release/Benchmarks server 2>/dev/null
	cd Benchmarks && .build/release/Benchmarks disk
	cd Benchmarks && .build/release/Benchmarks many

# The client's stress tests under the thread sanitizer, a minute each. What the sanitizer has to say is in
# .build-tsan/report.*; its word also fails the test.
stress:
	VFIO_USER_STRESS_SECONDS=$${VFIO_USER_STRESS_SECONDS:-60} \
	  TSAN_OPTIONS=log_path=$(CURDIR)/.build-tsan/report \
	  swift test --sanitize=thread --scratch-path .build-tsan --no-parallel --filter "Under stress"

lint:
	swift format lint -s -r Sources Tests Package.swift Examples/*/Sources Examples/*/Package.swift Examples/RingDevice/Tests

clean:
	swift package clean
