//! probe
use diffusion_core::*; use metrics::*; use tch::*;
#[test]
fn probe() {
    let b = std::fs::read("/tmp/cifar.raw").unwrap();
    let x = ByteScale::Edm.decode(&Tensor::from_slice(&b).view([-1,32,32,3]).permute([0,3,1,2]));
    let ord: Vec<i64> = Noise::new(0).permutation(x.size()[0] as usize).iter().map(|&i| i as i64).collect();
    let x = x.index_select(0, &Tensor::from_slice(&ord)).contiguous();
    let batch = Batch { images: x.narrow(0, 0, 2048), cond: Cond::none() };
    let h = x.narrow(0, 2048, 1024);
    let t = std::time::Instant::now();
    let mut e = Evaluation::new(&batch, 256, Device::Cpu).unwrap();
    println!("new {:?}", t.elapsed()); let t = std::time::Instant::now();
    let mut all = vec![e.real("real", &h).unwrap()];
    println!("one {:?}", t.elapsed());
    let blur = |k: i64| h.avg_pool2d([k,k],[1,1],[k/2,k/2],false,false,None::<i64>);
    let noise = Noise::new(1).normal(&h.size());
    let perm = { let g = h.view([1024,3,4,8,4,8]); let p: Vec<i64> = Noise::new(7).permutation(4).iter().map(|&i| i as i64).collect(); let p = Tensor::from_slice(&p); g.index_select(2,&p).index_select(4,&p).reshape([1024,3,32,32]) };
    for (n, im) in [("blur3", blur(3)), ("blur5", blur(5)), ("noise.02", &h + &noise*0.02), ("noise.05", &h + &noise*0.05), ("noise.1", &h + &noise*0.1), ("noise.3", &h + &noise*0.3), ("bright.05", &h + 0.05), ("contrast.9", &h * 0.9), ("64 distinct", h.narrow(0,0,64).repeat([16,1,1,1])), ("8 distinct", h.narrow(0,0,8).repeat([128,1,1,1])), ("flip ud", h.flip([2])), ("blocks", perm), ("gaussian", &noise*0.5)] {
        all.push(e.real(n, &im).unwrap());
    }
    println!("{}", table(&all));
}
