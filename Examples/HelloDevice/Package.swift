// swift-tools-version: 6.2
import PackageDescription

let vfioUser: Target.Dependency = .product(name: "VFIOUser", package: "swift-vfio-user")
let program: Target.Dependency = .product(name: "VFIOUserProgram", package: "swift-vfio-user")

// A device, a driver for it, and what tries the device, as a package that uses this one.
let package = Package(
  name: "HelloDevice",
  dependencies: [.package(name: "swift-vfio-user", path: "../..")],
  targets: [
    .executableTarget(name: "HelloDevice", dependencies: [program]),
    .executableTarget(name: "HelloDriver", dependencies: [vfioUser]),
    .executableTarget(name: "HelloProbes", dependencies: [vfioUser]),
  ])
