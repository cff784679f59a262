# Everyday commands; each does its own set-up.
.PHONY: build demo demo-vm test lint clean

build:
	swift build -c release

# Serves a device and drives it, without a virtual machine.
demo: build
	.build/release/vfio-user demo

# A virtual machine with the serial port plugged in; the first run fetches QEMU and a kernel.
demo-vm: build
	Scripts/fetch-guest
	Scripts/demo-vm

# All tests, those with real guests included.
test:
	Scripts/fetch-guest
	swift test --no-parallel

lint:
	swift format lint -s -r Sources Tests Package.swift

clean:
	swift package clean
