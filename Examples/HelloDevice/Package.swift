// swift-tools-version: 6.2
import PackageDescription

let client: [Target.Dependency] = [
  .product(name: "VFIOUserClient", package: "swift-vfio-user"),
  .product(name: "VFIOUserProtocol", package: "swift-vfio-user"),
  .product(name: "VFIOUserTransport", package: "swift-vfio-user"),
  .product(name: "SystemPackage", package: "swift-system"),
]

// A device, a driver for it, and what tries the device, as a package that uses this one.
let package = Package(
  name: "HelloDevice",
  dependencies: [
    .package(name: "swift-vfio-user", path: "../.."),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
  ],
  targets: [
    .executableTarget(
      name: "HelloDevice",
      dependencies: [
        .product(name: "VFIOUserProtocol", package: "swift-vfio-user"),
        .product(name: "VFIOUserServer", package: "swift-vfio-user"),
        .product(name: "VFIOUserTransport", package: "swift-vfio-user"),
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .executableTarget(
      name: "HelloDriver", dependencies: client),
    .executableTarget(
      name: "HelloProbes", dependencies: client),
  ])
