// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that a normal build never sees it: `make bench`.
let package = Package(
  name: "Benchmarks",
  dependencies: [
    .package(name: "swift-vfio-user", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
  ],
  targets: [
    .target(name: "CFloor", cSettings: [.unsafeFlags(["-O2"])]),
    .executableTarget(
      name: "Benchmarks",
      dependencies: [
        "CFloor",
        .product(name: "VFIOUserClient", package: "swift-vfio-user"),
        .product(name: "VFIOUserServer", package: "swift-vfio-user"),
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ])
