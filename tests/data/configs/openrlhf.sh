set -x

read -r -d '' training_commands <<EOF
openrlhf.cli.train_ppo_ray \
   --actor_num_gpus_per_node 8 \
   --micro_train_batch_size 8 \
   --train_batch_size 128 \
   --micro_rollout_batch_size 16 \
   --rollout_batch_size 128 \
   --n_samples_per_prompt 8 \
   --advantage_estimator group_norm \
   --use_kl_loss \
   --kl_estimator k3 \
   --init_kl_coef 1e-3 \
   --actor_learning_rate 5e-7
EOF

if [[ ${1} != "slurm" ]]; then
    deepspeed --module $training_commands
fi
