/// All optimizers, in the order in which users read of them.
package let optimizerFamilies: [any Optimizer.Type] = [SGD.self, Adam.self, AdamW.self, RAdam.self]
