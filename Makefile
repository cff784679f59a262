# Everyday commands; each does its own set-up.
.PHONY: build demo demo-vm demo-serial-vm compare-nvme test bench lint clean

build:
	swift build -c release

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

# All tests, those with real guests included.
test:
	Scripts/fetch-guest --with nvme
	swift test --no-parallel

# Against the floor, in the same run; best as root (SCHED_FIFO) on an idle machine.
bench:
	cd Benchmarks && swift build -c release
	cd Benchmarks && .build/release/Benchmarks client
	cd Benchmarks && .build/release/Benchmarks server 2>/dev/null

lint:
	swift format lint -s -r Sources Tests Package.swift

clean:
	swift package clean
