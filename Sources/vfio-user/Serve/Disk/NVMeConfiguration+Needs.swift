import NVMeDevice
import SystemPackage
import VFIOUserProgram

extension NVMeConfiguration {
  /// What the disk opens again while it is served: its files and their states, when it migrates or is upgraded.
  var needs: SandboxNeeds {
    var needs = SandboxNeeds()
    for one in namespaces where one.file.kind != .memory {
      let access: SandboxNeeds.Access = one.file.isReadOnly ? .read : [.read, .write]
      let path = FilePath(one.file.name)
      needs.files.append(.init(path, access))
      if one.file.wasMade { needs.made.append(path) }
      if let folder = one.file.identityFolder { needs.files.append(.init(folder, .read)) }
      guard let store = one.store else { continue }
      needs.files.append(.init(store.path, store.isWritable ? [.read, .write] : .read))
      if store.wasMade { needs.made.append(store.path) }
    }
    return needs
  }
}
